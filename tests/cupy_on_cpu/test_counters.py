"""What is counted, and that it is counted once."""

import cupy
import numpy as np
import pytest

from cupy_on_cpu import Count, counting


def counted(function):
    with counting() as count:
        function()
    return count


def test_nothing_done_is_nothing_counted():
    assert counted(lambda: None) == Count()


def test_launches_by_the_name_of_the_kernel():
    x = cupy.zeros((3, 4), dtype=cupy.float32)
    kernel = cupy.ElementwiseKernel("T x", "T y", "y = x + 1", "plus_one")
    out = cupy.empty_like(x)

    count = counted(lambda: (kernel(x, out), kernel(x[:2], out[:2]), cupy.tanh(x, out=out)))

    assert count.launches == {"plus_one": 2, "cupy_tanh__float32_float32": 1}
    assert count == Count(launches=count.launches, kernels=count.kernels)
    assert "y = x + 1" in next(iter(count.kernels["plus_one"])).source


def test_products_one_by_one():
    a = cupy.ones((5, 3, 4), dtype=cupy.float32)
    b, out = cupy.ones((4, 2), dtype=cupy.float32), cupy.empty((3, 2), dtype=cupy.float32)

    assert counted(lambda: cupy.matmul(a[0], b, out=out)) == Count(products=1)
    assert counted(lambda: a @ cupy.broadcast_to(b, (5, 4, 2))).products == 5


def test_copies_by_direction():
    host = np.ones(3)
    device = cupy.asarray(host)
    other = cupy.empty_like(device)

    to_device = counted(lambda: cupy.asarray(host))
    assert (to_device.to_device, to_device.to_host, to_device.on_device) == (1, 0, 0)
    to_host = counted(device.get)
    assert (to_host.to_device, to_host.to_host, to_host.on_device) == (0, 1, 0)
    on_device = counted(lambda: other.data.copy_from_device(device.data, 24))
    assert on_device == Count(on_device=1)


def test_the_stream_that_each_thing_goes_to():
    def everything():
        a = cupy.zeros((3, 3), dtype=cupy.float32)  # a fill
        b = cupy.tanh(a) @ a
        b.data.copy_from_device_async(a.data, 36)
        return cupy.asarray(np.ones(3)).get()

    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        there = counted(everything)
    here = counted(everything)

    asked = ("launches", "products", "fills", "on_device", "to_device", "to_host")
    assert there.streams == {stream.ptr: dict.fromkeys(asked, 1)}
    assert here.streams == {0: dict.fromkeys(asked, 1)}


def test_what_blocks_goes_to_the_default_stream():
    device, host = cupy.ones(3), np.empty(3)
    with cupy.cuda.Stream(non_blocking=True):
        count = counted(lambda: device.data.copy_to_host(host.ctypes.data, 24))
        count_fill = counted(lambda: device.data.memset(0, 24))
    assert [*count.streams, *count_fill.streams] == [0, 0]


def test_synchronisations():
    def wait():
        cupy.cuda.Device().synchronize()
        cupy.cuda.get_current_stream().synchronize()
        cupy.cuda.Event().synchronize()

    count = counted(wait)
    assert count.synchronisations == 3
    assert [line.partition(":")[0] for line in count.waits] == ["synchronisations"] * 3
    assert all(f"{__file__}:" in line for line in count.waits)


def test_a_blocking_copy_to_the_host_synchronises():
    device, host = cupy.ones(3), np.empty(3)

    count = counted(lambda: device.data.copy_to_host(host.ctypes.data, 24))

    assert (count.to_host, count.synchronisations) == (1, 1)


def test_allocations_also_of_memory_that_was_freed_just_before():
    def allocate():
        for _ in range(4):
            cupy.empty(3)

    assert counted(allocate) == Count(allocations=4)


def test_counting_inside_of_counting():
    with counting() as outer:
        cupy.empty(3)
        with counting() as inner:
            cupy.empty(3)
        cupy.empty(3)
    cupy.empty(3)

    assert (outer.allocations, inner.allocations) == (3, 1)


def test_counting_ends_with_an_exception():
    def fail():
        with counting() as count:
            seen.append(count)
            raise ValueError

    seen = []
    with pytest.raises(ValueError, match=r"^$"):
        fail()
    cupy.empty(3)
    assert seen == [Count()]
