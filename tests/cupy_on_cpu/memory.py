"""Device memory, played by host memory that starts as NaN.

Every byte of fresh memory is 0xFF, which is NaN in float16, float32 and float64 and -1 in signed
integers, so that an output which a kernel forgets to write shows.
"""

import ctypes
from bisect import bisect_right, insort

POISON = 0xFF
ALIGNMENT = 512  # what cudaMalloc gives

_libc = ctypes.CDLL(None)
_libc.posix_memalign.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
_libc.free.argtypes = [ctypes.c_void_p]


class Memory:
    """One kind of memory: the device's, or the pinned one of the host.

    Parameters
    ----------
    exact : bool
        Whether a block has exactly the size that was asked for, so that AddressSanitizer sees a
        write one element behind it; otherwise its size is rounded up, as CUDA's are.
    """

    def __init__(self, *, exact: bool) -> None:
        self._exact = exact
        self._starts: list[int] = []
        self._sizes: dict[int, int] = {}

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes of poison."""
        size, place = max(1, size), ctypes.c_void_p()
        whole = size if self._exact else -(-size // ALIGNMENT) * ALIGNMENT
        _libc.posix_memalign(ctypes.addressof(place), ALIGNMENT, whole)
        pointer = place.value
        if pointer is None:
            message = f"the host could not allocate {size} bytes to play the device's memory"
            raise MemoryError(message)
        ctypes.memset(pointer, POISON, size)
        insort(self._starts, pointer)
        self._sizes[pointer] = size
        return pointer

    def free(self, pointer: int) -> None:
        """Give a block back; as CUDA, do nothing for 0 and refuse what is no block."""
        if not pointer:
            return
        if self._sizes.pop(pointer, None) is None:
            message = f"{pointer:#x} is freed, but it is no block of this memory"
            raise RuntimeError(message)
        del self._starts[bisect_right(self._starts, pointer) - 1]
        _libc.free(pointer)

    def __contains__(self, pointer: int) -> bool:
        """Whether an address lies inside a block."""
        return self.holds(pointer, 1)

    def holds(self, pointer: int, size: int) -> bool:
        """Whether so many bytes from an address on lie inside one block."""
        place = bisect_right(self._starts, pointer) - 1
        if place < 0:
            return False
        start = self._starts[place]
        return pointer + size <= start + self._sizes[start]
