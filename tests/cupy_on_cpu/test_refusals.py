"""What the simulator has not refuses by its name, and never returns garbage."""

import cupy
import pytest

REFUSED = {
    "cupy.random.default_rng": lambda: cupy.random.default_rng(0),
    "cupy.random._generator_api.Generator": lambda: cupy.random.Generator(None),
    "cupy.random.XORWOW": lambda: cupy.random.XORWOW(0),
    "curand": lambda: cupy.random.rand(3),
    "cupy.cuda.thrust.sort": lambda: cupy.sort(cupy.ones(3)),
    "cupy.cuda.thrust.argsort": lambda: cupy.argsort(cupy.ones(3)),
    "cupy.cuda.cufft": lambda: cupy.fft.fft(cupy.ones(4)),
    "cusolver": lambda: cupy.linalg.svd(cupy.ones((2, 2))),
    "cuBLAS's dgeam": lambda: geam(cupy.ones((2, 2))),
    "runtime.mallocManaged": lambda: cupy.cuda.malloc_managed(8),
    "runtime.launchHostFunc": lambda: cupy.cuda.Stream().launch_host_func(print, 0),
    "device 1 of a simulator that has only device 0": lambda: cupy.cuda.Device(1).use(),
}


def geam(array):
    from cupy import cublas  # noqa: PLC0415

    return cublas.geam("N", "N", 1.0, array, 1.0, array)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name):
    with pytest.raises(NotImplementedError, match=name):
        REFUSED[name]()
