// What NVRTC gives a kernel without an include, for g++: keywords, indices and functions of CUDA.
// Precompiled together with CuPy's own headers, which every kernel of CuPy includes.
#pragma once
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

#undef __noinline__
#define __device__
#define __host__
#define __global__
#define __constant__ static
#define __shared__ static  // one block runs at a time
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __builtin_assume(condition)

// Vectors and indices ---------------------------------------------------------------------------
#define CUPY_ON_CPU_VECTORS(T, NAME)                                             \
  struct NAME##2 { T x, y; };                                                    \
  struct NAME##3 { T x, y, z; };                                                 \
  struct alignas(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) NAME##4 { T x, y, z, w; }; \
  inline NAME##2 make_##NAME##2(T x, T y) { return {x, y}; }                     \
  inline NAME##3 make_##NAME##3(T x, T y, T z) { return {x, y, z}; }             \
  inline NAME##4 make_##NAME##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CUPY_ON_CPU_VECTORS(float, float)
CUPY_ON_CPU_VECTORS(double, double)
CUPY_ON_CPU_VECTORS(int, int)
CUPY_ON_CPU_VECTORS(unsigned, uint)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
static dim3 gridDim, blockDim;
static uint3 blockIdx, threadIdx;
constexpr int warpSize = 32;

// Waiting: every thread is a fibre, see fibres.cpp. Others run meanwhile, so that the indices of
// the thread have to be put back.
extern "C" void cupy_on_cpu_barrier();
extern "C" void cupy_on_cpu_idle();
extern "C" void* cupy_on_cpu_shared();
extern "C" void cupy_on_cpu_shuffle(unsigned, unsigned, const void*, void*, unsigned);
namespace cupy_on_cpu {
struct Self {
  const uint3 thread = threadIdx, block = blockIdx;
  ~Self() { threadIdx = thread, blockIdx = block; }
};
}  // namespace cupy_on_cpu
static inline void __syncthreads() {
  const cupy_on_cpu::Self self;
  cupy_on_cpu_barrier();
}
static inline void __nanosleep(unsigned) {
  const cupy_on_cpu::Self self;
  cupy_on_cpu_idle();
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int other, unsigned width = 32) {
  const cupy_on_cpu::Self self;
  const unsigned lane = (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
  const unsigned from = (lane ^ other) / width == lane / width ? lane ^ other : lane;
  T got;
  cupy_on_cpu_shuffle(mask, from, &value, &got, sizeof value);
  return got;
}
static inline void __syncwarp(unsigned mask = 0xffffffffu) { __shfl_xor_sync(mask, 0, 0); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

// Instructions written as inline PTX: compiler.py makes calls of them ----------------------------
template <class T>
static inline const T& cupy_on_cpu_aligned(const T* p) {
  assert(reinterpret_cast<std::uintptr_t>(p) % sizeof(T) == 0);  // a GPU would stop, too
  return *p;
}

// Mathematics: CUDA has the overloads for float in the global namespace -------------------------
using std::abs, std::fabs, std::acos, std::acosh, std::asin, std::asinh, std::atan, std::atan2;
using std::atanh, std::cbrt, std::ceil, std::copysign, std::cos, std::cosh, std::erf, std::erfc;
using std::exp, std::exp2, std::expm1, std::fdim, std::floor, std::fma, std::fmax, std::fmin;
using std::fmod, std::frexp, std::hypot, std::ilogb, std::isfinite, std::isinf, std::isnan;
using std::ldexp, std::lgamma, std::log, std::log10, std::log1p, std::log2, std::logb, std::modf;
using std::nearbyint, std::nextafter, std::pow, std::remainder, std::rint, std::round;
using std::signbit, std::sin, std::sinh, std::sqrt, std::tan, std::tanh, std::tgamma, std::trunc;

static inline float rsqrt(float x) { return 1.0f / std::sqrt(x); }
static inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
static inline float rsqrtf(float x) { return rsqrt(x); }
// Macros, because glibc keeps these names for itself.
#define __expf(x) std::exp(static_cast<float>(x))
#define __logf(x) std::log(static_cast<float>(x))
#define __sinf(x) std::sin(static_cast<float>(x))
#define __cosf(x) std::cos(static_cast<float>(x))
#define __powf(x, y) std::pow(static_cast<float>(x), static_cast<float>(y))
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
static inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }

static inline double sinpi(double x) { return std::sin(3.141592653589793 * std::fmod(x, 2.0)); }
static inline float sinpi(float x) { return static_cast<float>(sinpi(static_cast<double>(x))); }
static inline double cyl_bessel_i0(double x) { return std::cyl_bessel_i(0.0, std::fabs(x)); }

// As in CUDA, a NaN loses against a number.
template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
static inline std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmax(T(a), T(b));
  else return T(a) > T(b) ? T(a) : T(b);
}
template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
static inline std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmin(T(a), T(b));
  else return T(a) < T(b) ? T(a) : T(b);
}

// Bits ------------------------------------------------------------------------------------------
template <class To, class From>
static inline To cupy_on_cpu_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
static inline int __float_as_int(float x) { return cupy_on_cpu_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return cupy_on_cpu_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return cupy_on_cpu_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return cupy_on_cpu_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return cupy_on_cpu_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return cupy_on_cpu_bits<double>(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
static inline int __mulhi(int a, int b) {
  return static_cast<int>((static_cast<long long>(a) * b) >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
template <class T>
static inline T __ldg(const T* p) { return *p; }

// Atomic operations: one thread runs at a time --------------------------------------------------
#define CUPY_ON_CPU_ATOMIC(NAME, VALUE)                                            \
  template <class T>                                                               \
  static inline std::enable_if_t<std::is_arithmetic_v<T>, T> NAME(T* p, std::common_type_t<T> v) { \
    const T old = *p;                                                              \
    *p = VALUE;                                                                    \
    return old;                                                                    \
  }
CUPY_ON_CPU_ATOMIC(atomicAdd, old + v)
CUPY_ON_CPU_ATOMIC(atomicSub, old - v)
CUPY_ON_CPU_ATOMIC(atomicExch, v)
CUPY_ON_CPU_ATOMIC(atomicAnd, old & v)
CUPY_ON_CPU_ATOMIC(atomicOr, old | v)
CUPY_ON_CPU_ATOMIC(atomicXor, old ^ v)
template <class T>
static inline std::enable_if_t<std::is_integral_v<T>, T> atomicMax(T* p, std::common_type_t<T> v) {
  const T old = *p;
  *p = old < v ? v : old;
  return old;
}
template <class T>
static inline std::enable_if_t<std::is_integral_v<T>, T> atomicMin(T* p, std::common_type_t<T> v) {
  const T old = *p;
  *p = v < old ? v : old;
  return old;
}
template <class T>
static inline T atomicCAS(T* p, std::common_type_t<T> compare, std::common_type_t<T> v) {
  const T old = *p;
  if (old == compare) *p = v;
  return old;
}

// float16: the conversions that the hardware does, to the nearest even --------------------------
static inline float __half2float(unsigned short h) {
  const unsigned sign = (h & 0x8000u) << 16, exponent = (h >> 10) & 31u, fraction = h & 0x3ffu;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | (fraction << 13));
  if (exponent) return __uint_as_float(sign | ((exponent + 112) << 23) | (fraction << 13));
  return std::copysign(std::ldexp(static_cast<float>(fraction), -24), sign ? -1.0f : 1.0f);
}
static inline unsigned short __float2half_rn(float f) {
  const unsigned bits = __float_as_uint(f), sign = (bits >> 16) & 0x8000u;
  const unsigned magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;
  if (magnitude < 0x38800000u) {  // a subnormal half counts steps of 2**-24
    return sign | static_cast<unsigned>(std::nearbyint(std::ldexp(__uint_as_float(magnitude), 24)));
  }
  const unsigned odd = (magnitude >> 13) & 1u;
  return sign | ((magnitude - (112u << 23) + 0xfffu + odd) >> 13);
}
struct half;
static inline half __ushort_as_half(unsigned short bits);
template <class Half>
static inline unsigned short __half_as_ushort(const Half& h) {
  return cupy_on_cpu_bits<unsigned short>(h);
}

#include <cupy/complex.cuh>
#include <cupy/carray.cuh>
#include <cupy/atomics.cuh>
#include <cupy/math_constants.h>
#include <cupy/float16.cuh>

static inline half __ushort_as_half(unsigned short bits) { return half(__half_raw{bits}); }

// Products of matrices by a warp: D += A (16 x 16) B (16 x 8), each lane with its fragments of them.
// Which element a lane holds: PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type".
// Hardware rounds and orders its sums otherwise; that is not specified.
static inline void cupy_on_cpu_mma_f16(float& d0, float& d1, float& d2, float& d3, unsigned a0,
                                       unsigned a1, unsigned a2, unsigned a3, unsigned b0,
                                       unsigned b1) {
  struct Given { unsigned short a[8], b[4]; };
  const unsigned whole[] = {a0, a1, a2, a3, b0, b1};
  Given mine, all[32];
  std::memcpy(&mine, whole, sizeof mine);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  {
    const cupy_on_cpu::Self self;
    cupy_on_cpu_shuffle(~0u, ~0u, &mine, all, sizeof mine);
  }
  // The rows and columns of D that the lane holds: row, column = group, 2 in_group; + 8, + 1.
  const unsigned group = thread % 32 / 4, in_group = thread % 4;
  float rows[2][16], columns[2][16];
  for (unsigned k = 0; k < 16; ++k)
    for (unsigned n = 0; n < 2; ++n) {  // the lane and the element of A, and of B
      rows[n][k] = __half2float(all[4 * group + k % 8 / 2].a[k % 2 + 2 * n + k / 8 * 4]);
      columns[n][k] =
          __half2float(all[4 * (2 * in_group + n) + k % 8 / 2].b[k % 2 + k / 8 * 2]);
    }
  float* const d[2][2] = {{&d0, &d1}, {&d2, &d3}};
  for (unsigned m = 0; m < 2; ++m)
    for (unsigned n = 0; n < 2; ++n)
      for (unsigned k = 0; k < 16; ++k) *d[m][n] += rows[m][k] * columns[n][k];
}

// Launching: the arguments come as CuPy packs them for cuLaunchKernel ---------------------------
namespace cupy_on_cpu {

template <class... A, std::size_t... I>
inline void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_cv_t<std::remove_reference_t<A>>*>(arguments[I])...);
}

template <class... A>
inline void call(void (*kernel)(A...), void** arguments) {
  call(kernel, arguments, std::index_sequence_for<A...>{});
}

extern "C" bool cupy_on_cpu_run(unsigned, unsigned, std::size_t, void (*)(void*, unsigned, unsigned),
                                void*);

static unsigned first_block;  // of those that run now

template <auto kernel>
void run_fibre(void* arguments, unsigned block, unsigned t) {
  const unsigned b = first_block + block;
  blockIdx = {b % gridDim.x, b / gridDim.x % gridDim.y, b / (gridDim.x * gridDim.y)};
  threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
  call(kernel, static_cast<void**>(arguments));
}

// Runs the blocks, so many of them at once, where threads wait; returns whether they came to an end.
template <auto kernel, bool waits>
bool run_grid(const unsigned* grid, const unsigned* block, unsigned at_once, std::size_t shared,
              void** arguments) {
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  if constexpr (waits) {
    const unsigned count = grid[0] * grid[1] * grid[2], threads = block[0] * block[1] * block[2];
    for (first_block = 0; first_block < count; first_block += at_once)
      if (!cupy_on_cpu_run(at_once, threads, shared, run_fibre<kernel>, arguments)) return false;
  } else {
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
      for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
          for (threadIdx.z = 0; threadIdx.z < blockDim.z; ++threadIdx.z)
            for (threadIdx.y = 0; threadIdx.y < blockDim.y; ++threadIdx.y)
              for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x)
                call(kernel, arguments);
  }
  return true;
}

// Writes the bytes of each argument, where there is a place for them; returns how many there are.
template <class... A>
unsigned sizes_of(void (*)(A...), std::size_t* sizes) {
  const std::size_t all[] = {sizeof(A)..., 0};
  for (std::size_t i = 0; sizes && i < sizeof...(A); ++i) sizes[i] = all[i];
  return sizeof...(A);
}

}  // namespace cupy_on_cpu

#define CUPY_ON_CPU_LAUNCHER(SYMBOL, WAITS, ...)                                             \
  extern "C" bool launch_##SYMBOL(const unsigned* grid, const unsigned* block, unsigned at_once, \
                                  std::size_t shared, void** arguments) {                    \
    return cupy_on_cpu::run_grid<__VA_ARGS__, WAITS>(grid, block, at_once, shared, arguments);  \
  }                                                                                          \
  extern "C" unsigned sizes_##SYMBOL(std::size_t* sizes) {                                    \
    return cupy_on_cpu::sizes_of(__VA_ARGS__, sizes);                                         \
  }
