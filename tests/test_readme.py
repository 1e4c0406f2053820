"""The README's examples that need more than NumPy; sybil runs the others."""


def test_memory_shared_with_torch(torch, examples):
    (code,) = (code for code in examples("In a CuPy pipeline") if "import torch" in code)
    names = {}
    exec(code, names)
    assert names["h"].data_ptr() == names["y"].ctypes.data
    names["features"][...] = 7
    assert (names["x"] == 7).all()
