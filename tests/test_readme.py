"""The README's examples that need more than NumPy; sybil runs the others."""


def test_memory_shared_with_torch(torch, examples):
    (code,) = (code for code in examples("In a CuPy pipeline") if "import torch" in code)
    names = {}
    exec(code, names)
    assert names["h"].data_ptr() == names["y"].ctypes.data
    names["features"][...] = 7
    assert (names["x"] == 7).all()


def test_a_layer_of_torch(torch, examples):
    code, _ = examples("In torch and JAX")
    names = {}
    exec(code, names)
    assert float(names["module"].weight_hh_l0.grad.abs().max()) > 0
    theirs = torch.nn.LSTM(3, 16)
    theirs.load_state_dict(names["module"].state_dict())
    torch.testing.assert_close(theirs(torch.ones(20, 8, 3))[0], names["y"])


def test_a_function_for_jax(jax, examples):
    _, code = examples("In torch and JAX")
    names = {}
    exec(code, names)
    params, x = names["net"].init(0, xp=jax.numpy), jax.numpy.ones((1000, 8, 3), dtype="float32")
    y, _, cache = names["net"].forward(params, x)
    expected = names["net"].backward(cache, 2 * y / y.size).params
    for found, wanted in zip(names["grads"][0][:4], expected[0][:4], strict=True):
        assert float(abs(found - wanted).max()) < 1e-5
