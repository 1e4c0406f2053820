"""array-api-strict on a second device, where every read on the host is an error.

On a GPU each such read would make the host wait for the device.
"""

import operator
from functools import partial

import array_api_strict as strict
import numpy as np
import pytest

import xpbptt
from xpbptt._arrays.tree import leaves
from xpbptt.cells import LSTM

DEVICE, HOST = strict.Device("device1"), strict.Device("CPU_DEVICE")
READS = ("__bool__", "__float__", "__int__", "__complex__", "__index__", "to_device")
READS += ("__array__", "__buffer__", "__dlpack__")


@pytest.fixture(autouse=True)
def flags():
    with strict.ArrayAPIStrictFlags(
        api_version="2023.12",
        boolean_indexing=False,
        data_dependent_shapes=False,
        enabled_extensions=(),
    ):
        yield


@pytest.fixture
def forbidden(monkeypatch):
    """Forbid reads on the host, for as long as the test lasts or until ``undo`` is called."""
    kind = type(strict.zeros(1))

    def refuse(name, read):
        def refusing(array, *arguments, **options):
            if array.device == DEVICE:
                message = f"a read on the host: {name}"
                raise AssertionError(message)
            return read(array, *arguments, **options)

        return refusing

    for name in filter(partial(hasattr, kind), READS):  # not every version has all
        monkeypatch.setattr(kind, name, refuse(name, getattr(kind, name)))
    return monkeypatch


def make(array):
    return strict.asarray(array, device=DEVICE)


def test_no_call_reads_on_the_host_or_leaves_the_device(call, forbidden, assert_same_on_numpy):
    results = call(make)
    assert all(leaf.device == DEVICE for _, leaf in leaves(results))
    forbidden.undo()
    assert_same_on_numpy(results, call, lambda array: np.asarray(array.to_device(HOST)))


@pytest.mark.parametrize(
    "read",
    [
        float,
        bool,
        int,
        complex,
        operator.index,
        np.asarray,
        np.from_dlpack,
        lambda array: array.to_device(HOST),
        lambda array: 1 if strict.any(array > 0) else 0,
        lambda array: [1, 2, 3, 4][array],
    ],
)
def test_a_read_on_the_host_is_seen(forbidden, read):
    number = make(np.asarray(3))
    with pytest.raises(AssertionError, match="a read on the host"):
        read(number)


def test_a_read_inside_a_step_is_seen(forbidden):
    def forward(u, v, state, *, xp):
        return LSTM.forward(u, v, state, xp=xp) if xp.any(u.i > 0) else None

    net = xpbptt.Net(LSTM._replace(forward=forward), 3, 5)
    params = net.init(0, xp=strict, device=DEVICE)
    with pytest.raises(AssertionError, match="a read on the host: __bool__"):
        net.forward(params, make(np.ones((2, 1, 3), dtype=np.float32)))


def test_the_check_of_a_cell_does_not_read(forbidden):
    net = xpbptt.Net(LSTM._replace(name="own"), 3, 5)
    params = net.init(0, xp=strict, device=DEVICE)
    y, state, cache = net.forward(params, make(np.ones((2, 1, 3), dtype=np.float32)))
    net.backward(cache, y, state)
