"""How the blocks of a group meet, and how one reads what the others have written."""

HELPERS = """
static __device__ __forceinline__ unsigned acquire(const unsigned* p) {
  unsigned v;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
  return v;
}
static __device__ __forceinline__ void arrive(unsigned* p) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" : : "l"(p) : "memory");
}
static __device__ __forceinline__ void meet(const unsigned* count, unsigned wanted) {
  while ((int)(acquire(count) - wanted) < 0) __nanosleep(20);
}
"""

# What other blocks have written is not looked for in the cache of the own multiprocessor: `fresh`
# reads a number, `fresh_group` the numbers that one load brings.

FLOAT = """
static __device__ __forceinline__ float fresh(const float* p) {
  float v;
  asm volatile("ld.relaxed.gpu.global.f32 %0, [%1];" : "=f"(v) : "l"(p) : "memory");
  return v;
}
static __device__ __forceinline__ float4 fresh_group(const float* p) {
  float4 v;
  asm volatile("ld.relaxed.gpu.global.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p) : "memory");
  return v;
}
"""

DOUBLE = """
static __device__ __forceinline__ double fresh(const double* p) {
  double v;
  asm volatile("ld.relaxed.gpu.global.f64 %0, [%1];" : "=d"(v) : "l"(p) : "memory");
  return v;
}
static __device__ __forceinline__ double2 fresh_group(const double* p) {
  double2 v;
  asm volatile("ld.relaxed.gpu.global.v2.f64 {%0, %1}, [%2];"
               : "=d"(v.x), "=d"(v.y) : "l"(p) : "memory");
  return v;
}
"""

HALF = """
static __device__ __forceinline__ float widened(unsigned short bits) {
  float16 h;
  *(unsigned short*)&h = bits;
  return h;
}
static __device__ __forceinline__ float fresh(const float16* p) {
  unsigned short v;
  asm volatile("ld.relaxed.gpu.global.u16 %0, [%1];" : "=h"(v) : "l"(p) : "memory");
  return widened(v);
}
static __device__ __forceinline__ float4 fresh_group(const float16* p) {
  unsigned a, b;
  asm volatile("ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];"
               : "=r"(a), "=r"(b) : "l"(p) : "memory");
  float4 v;
  v.x = widened(a), v.y = widened(a >> 16), v.z = widened(b), v.w = widened(b >> 16);
  return v;
}
"""  # as float

HALF_BITS = """
static __device__ __forceinline__ float16 fresh(const float16* p) {
  unsigned short v;
  asm volatile("ld.relaxed.gpu.global.u16 %0, [%1];" : "=h"(v) : "l"(p) : "memory");
  float16 h;
  *(unsigned short*)&h = v;
  return h;
}
static __device__ __forceinline__ uint4 fresh_group(const float16* p) {
  uint4 v;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p) : "memory");
  return v;
}
"""  # as it is
