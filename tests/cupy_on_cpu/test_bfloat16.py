"""bfloat16: CuPy has arrays of it, by ml_dtypes, but no namespace in which to compute with it."""

import array_api_compat.cupy
import array_api_compat.numpy
import cupy
import numpy as np
import pytest

import xpbptt
from xpbptt._arrays.tree import map_leaves

ml_dtypes = pytest.importorskip("ml_dtypes", reason="without it CuPy has no bfloat16 at all")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
NET = xpbptt.LSTM(3, 4)


@pytest.fixture(params=[np, cupy], ids=["numpy", "cupy"])
def library(request):
    return request.param


def test_the_namespaces_still_do_not_know_it():
    """Where this fails, bfloat16 can be had: the refusals below have to go."""
    assert cupy.zeros(3, dtype=BFLOAT16).dtype == BFLOAT16
    for xp in (array_api_compat.cupy, array_api_compat.numpy):
        assert "bfloat16" not in xp.__array_namespace_info__().dtypes()
        with pytest.raises(TypeError, match="must be a NumPy dtype"):
            xp.isdtype(BFLOAT16, "real floating")


def zeros(library):
    params = NET.init(0, xp=library)
    return map_leaves(lambda each: library.zeros(each.shape, dtype=BFLOAT16), params)


CALLS = {
    "x": lambda x, params: NET.infer(params, x),
    "predictions": lambda x, _: xpbptt.mean_squared_error(x, x),
    "params": lambda _, params: xpbptt.adam().init(params),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_door_names_it_and_what_to_do(name, library):
    x = library.zeros((3, 2, 3), dtype=BFLOAT16)
    own = library.__name__
    message = rf"`{name}.* bfloat16, which the Array API namespace of {own} does not have: convert"
    with pytest.raises(TypeError, match=message):
        CALLS[name](x, zeros(library))


@pytest.mark.parametrize("dtype", [BFLOAT16, "bfloat16"])
def test_parameters_are_not_made_of_it(dtype, library):
    with pytest.raises(TypeError, match=r"real floating-point dtype of .*, got bfloat16"):
        NET.init(0, xp=library, dtype=dtype)
