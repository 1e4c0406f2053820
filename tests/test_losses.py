import math

import array_api_compat
import numpy as np
import pytest
from helpers import host
from hypothesis import given, settings
from hypothesis import strategies as st

from xpbptt.losses import mean_squared_error, softmax_cross_entropy

DTYPES = ["float32", "float64"]


def literal_cross_entropy(logits, labels, mask=None):
    """The textbook's formula on NumPy, unstable, one position after the other; complex or real."""
    positions = [p for p in np.ndindex(labels.shape) if mask is None or mask[p]]
    total = sum(np.log(np.sum(np.exp(logits[p]))) - logits[p][labels[p]] for p in positions)
    return total / max(len(positions), 1)


def literal_squared_error(predictions, targets, mask):
    terms = [(predictions[p] - targets[p]) ** 2 for p in np.ndindex(mask.shape) if mask[p]]
    return sum(terms) / max(len(terms), 1)


def complex_step(loss, array):
    """The gradient of `loss` without cancellation: im f(a + iε) / ε for each element."""
    gradient = np.zeros(array.shape)
    for p in np.ndindex(array.shape):
        moved = array.astype(complex)
        moved[p] += 1e-30j
        gradient[p] = loss(moved).imag / 1e-30
    return gradient


def example(seed=0, shape=(3, 2), classes=5):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(*shape, classes))
    labels = rng.integers(classes, size=shape)
    mask = rng.random(shape) < 0.6
    return logits, labels, mask


def to_xp(xp, *arrays, dtype="float64"):
    """The arrays in the library `xp`; floating-point ones as `dtype`."""
    for array in arrays:
        floating = array.dtype.kind == "f"
        yield xp.asarray(array, dtype=getattr(xp, dtype)) if floating else xp.asarray(array)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(), (4,), (3, 2), (2, 3, 4)])
def test_cross_entropy_is_the_textbooks_and_its_gradient_the_derivative(xp, shape, masked):
    logits, labels, mask = example(1, shape)
    chosen = mask if masked else None
    arrays = to_xp(xp, *([logits, labels, mask] if masked else [logits, labels]))
    loss, dlogits = softmax_cross_entropy(*arrays)
    expected = complex_step(lambda z: literal_cross_entropy(z, labels, chosen), logits)
    np.testing.assert_allclose(
        float(loss), literal_cross_entropy(logits, labels, chosen), rtol=1e-13, atol=1e-15
    )
    np.testing.assert_allclose(host(dlogits), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("masked", [False, True])
def test_squared_error_is_the_textbooks_and_its_gradient_the_derivative(xp, masked):
    predictions, labels, mask = example(2)
    targets = predictions * labels[..., None] + 1.0
    elements = np.broadcast_to(mask[..., None] if masked else True, predictions.shape)
    arrays = to_xp(xp, *([predictions, targets, mask] if masked else [predictions, targets]))
    loss, dpredictions = mean_squared_error(*arrays)
    expected = complex_step(lambda p: literal_squared_error(p, targets, elements), predictions)
    np.testing.assert_allclose(
        float(loss), literal_squared_error(predictions, targets, elements), rtol=1e-13
    )
    np.testing.assert_allclose(host(dpredictions), expected, rtol=1e-12)


def test_squared_error_takes_a_mask_of_single_elements(xp):
    predictions, _, _ = example(3)
    targets = predictions**2
    mask = predictions > 0
    loss, dpredictions = mean_squared_error(*to_xp(xp, predictions, targets, mask))
    np.testing.assert_allclose(
        float(loss), literal_squared_error(predictions, targets, mask), rtol=1e-13
    )
    expected = complex_step(lambda p: literal_squared_error(p, targets, mask), predictions)
    np.testing.assert_allclose(host(dpredictions), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("masked", [False, True])
def test_results_stay_in_the_library_and_dtype_and_the_loss_is_an_array(xp, dtype, masked):
    *arrays, mask = to_xp(xp, *example(), dtype=dtype)
    chosen = mask if masked else None
    logits = arrays[0]
    results = [
        *softmax_cross_entropy(*arrays, chosen),
        *mean_squared_error(logits, 2 * logits, chosen),
    ]
    values, labels, host_mask = example()
    exact = [
        *softmax_cross_entropy(values, labels, host_mask if masked else None),
        *mean_squared_error(values, 2 * values, host_mask if masked else None),
    ]
    for result, expected in zip(results, exact, strict=True):
        assert type(result) is type(logits)  # on NumPy an ndarray of no axes, not a scalar
        assert result.dtype == getattr(xp, dtype)
        assert array_api_compat.device(result) == array_api_compat.device(logits)
        assert result.shape == expected.shape
        rtol = 1e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(host(result), expected, rtol=rtol, atol=rtol / 10)


def test_inputs_are_not_modified(xp):
    logits, labels, mask = example()
    arrays = list(to_xp(xp, logits, labels, mask))
    softmax_cross_entropy(*arrays)
    mean_squared_error(arrays[0], arrays[0] + 1.0, arrays[2])
    for array, before in zip(arrays, (logits, labels, mask), strict=True):
        np.testing.assert_array_equal(host(array), before)


@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf])
def test_what_is_masked_does_not_matter(xp, junk):
    logits, labels, mask = example()
    assert 0 < mask.sum() < mask.size
    clean = softmax_cross_entropy(*to_xp(xp, logits, labels, mask))
    clean_error = mean_squared_error(*to_xp(xp, logits, logits + 1.5, mask))
    junk_logits = np.where(mask[..., None], logits, junk)
    junk_labels = np.where(mask, labels, 99)
    dirty = softmax_cross_entropy(*to_xp(xp, junk_logits, junk_labels, mask))
    dirty_error = mean_squared_error(*to_xp(xp, junk_logits, junk_logits + 1.5, mask))
    for got, expected in zip((*dirty, *dirty_error), (*clean, *clean_error), strict=True):
        np.testing.assert_array_equal(host(got), host(expected))
    assert not np.any(host(dirty[1])[~mask])
    assert not np.any(host(dirty_error[1])[~mask])


def test_a_mask_of_true_changes_no_bit(xp):
    logits, labels, mask = to_xp(xp, *example())
    every = xp.ones_like(mask)
    for with_mask, without in zip(
        (
            *softmax_cross_entropy(logits, labels, every),
            *mean_squared_error(logits, -logits, every),
        ),
        (*softmax_cross_entropy(logits, labels), *mean_squared_error(logits, -logits)),
        strict=True,
    ):
        np.testing.assert_array_equal(host(with_mask), host(without))


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0,), (2, 3)])
def test_where_nothing_counts_the_loss_and_gradient_are_zero(xp, shape):
    logits, labels, mask = example(0, shape)
    arrays = list(to_xp(xp, logits, labels, mask & False))
    for loss, gradient in (
        softmax_cross_entropy(*arrays),
        mean_squared_error(arrays[0], -arrays[0], arrays[2]),
    ):
        assert float(loss) == 0.0
        assert gradient.shape == logits.shape
        assert not np.any(host(gradient))
    if 0 in shape:
        assert float(softmax_cross_entropy(*arrays[:2])[0]) == 0.0
        assert float(mean_squared_error(arrays[0], -arrays[0])[0]) == 0.0


@pytest.mark.parametrize("offset", [1e4, -1e4, 1e30])
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_logits_overflow_nothing(xp, dtype, offset):
    logits = xp.asarray([[offset, 0.0, 0.0]], dtype=getattr(xp, dtype))
    loss, dlogits = softmax_cross_entropy(logits, xp.asarray([1]))
    right = 1 if offset > 0 else 2
    expected = offset if offset > 0 else math.log(2)
    np.testing.assert_allclose(float(loss), expected, rtol=1e-6)
    assert np.all(np.isfinite(host(dlogits)))
    assert host(dlogits)[0, 1] == pytest.approx(-1.0 if right == 1 else -0.5)


@pytest.mark.parametrize("label", [-1, 5, 300])
def test_a_label_out_of_range_is_refused_on_numpy(label):
    logits, labels, mask = example()
    labels[1, 0] = label
    with pytest.raises(ValueError, match=rf"`labels` .* from 0 to K - 1 = 4, got \[{label}\]"):
        softmax_cross_entropy(logits, labels)
    mask[1, 0] = True
    with pytest.raises(ValueError, match=rf"`labels` .* from 0 to K - 1 = 4, got \[{label}\]"):
        softmax_cross_entropy(logits, labels, mask)
    mask[1, 0] = False
    assert math.isfinite(softmax_cross_entropy(logits, labels, mask)[0])


def test_of_many_wrong_labels_the_message_names_a_few():
    with pytest.raises(ValueError, match=r"\[5, 6, 7, 8, 9, 10, 11, 12\] and 992 more") as error:
        softmax_cross_entropy(np.zeros((1000, 5)), np.arange(5, 1005))
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("label", [-1, 5, 300])
def test_a_label_out_of_range_cannot_pass_unseen(xp, label):
    if array_api_compat.is_numpy_namespace(xp):
        pytest.skip("refused on NumPy, where no device is read")
    logits, labels, _ = example()
    labels[1, 0] = label
    loss, dlogits = softmax_cross_entropy(*to_xp(xp, logits, labels))
    assert math.isnan(float(loss))
    broken = np.isnan(host(dlogits))
    assert broken[1, 0].all()
    assert broken.sum() == logits.shape[-1]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_labels_of_any_integer_dtype(xp, dtype):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 300))  # more classes than a byte can count
    labels = np.asarray([0, 7, 127 if dtype == "int8" else 200])
    loss, _ = softmax_cross_entropy(
        xp.asarray(logits), xp.asarray(labels, dtype=getattr(xp, dtype))
    )
    assert float(loss) == pytest.approx(literal_cross_entropy(logits, labels), rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    shape=st.lists(st.integers(0, 4), max_size=3).map(tuple),
    classes=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_the_gradients_of_a_position_sum_to_zero(shape, classes, seed):
    logits, labels, mask = example(seed, shape, classes)
    _, dlogits = softmax_cross_entropy(logits, labels, np.asarray(mask))
    np.testing.assert_allclose(np.sum(dlogits, axis=-1), np.zeros(shape), atol=1e-15)


@pytest.mark.parametrize("masked", [False, True])
def test_in_half_precision_more_positions_than_it_can_count(xp, half, masked):
    positions = 70_000  # float16 ends at 65504
    logits = half(np.tile([2.0, 0.0, 1.0], (positions, 1)))
    labels = xp.asarray(np.zeros(positions, dtype=np.int64))
    mask = xp.asarray(np.ones(positions, dtype=bool)) if masked else None
    loss, dlogits = softmax_cross_entropy(logits, labels, mask)
    softmax = np.exp([2.0, 0.0, 1.0]) / np.sum(np.exp([2.0, 0.0, 1.0]))
    assert loss.dtype == dlogits.dtype == xp.float16
    assert float(loss) == pytest.approx(-math.log(softmax[0]), rel=1e-3)
    smallest = 2.0**-24
    expected = np.tile((softmax - [1, 0, 0]) / positions, (positions, 1))
    np.testing.assert_allclose(host(dlogits).astype(float), expected, atol=smallest)

    loss, gradient = mean_squared_error(logits, half(np.zeros((positions, 3))), mask)
    assert loss.dtype == gradient.dtype == xp.float16
    assert float(loss) == pytest.approx(5 / 3, rel=1e-3)
    expected = np.tile([4 / 3, 0, 2 / 3], (positions, 1)) / positions
    np.testing.assert_allclose(host(gradient).astype(float), expected, atol=smallest)


def test_in_half_precision_a_square_beyond_it_in_a_mean_within_it(half):
    loss, gradient = mean_squared_error(half([300.0, 0.0]), half([0.0, 0.0]))
    assert float(loss) == pytest.approx(45_000, rel=1e-3)
    np.testing.assert_array_equal(host(gradient), [300.0, 0.0])


def test_in_bfloat16_the_count_is_not_rounded(torch):
    targets = torch.zeros(257, dtype=torch.bfloat16)
    mask = torch.ones(257, dtype=torch.bool)
    loss, gradient = mean_squared_error(targets + 16, targets, mask)
    assert loss.dtype == gradient.dtype == torch.bfloat16
    assert float(loss) == 256
    assert float(gradient[0]) == float(torch.tensor(32 / 257).to(torch.bfloat16))


def bad_cross_entropy(xp):
    logits, labels, mask = to_xp(xp, *example())
    return {
        "no array": ([[1.0], 0], TypeError, "`logits`"),
        "labels no array": ((logits, [0]), TypeError, "`labels`"),
        "integer logits": ((labels, labels), TypeError, "`logits`.*floating"),
        "floating labels": ((logits, logits[..., 0]), TypeError, "`labels`.*integers"),
        "boolean labels": ((logits, mask), TypeError, "`labels`.*integers"),
        "labels one-hot": ((logits, xp.zeros_like(labels)[..., None]), ValueError, "`labels`"),
        "labels of another length": ((logits, labels[:2, :]), ValueError, r"`labels`.*\(2, 2\)"),
        "integer mask": ((logits, labels, labels), TypeError, "`mask`.*booleans"),
        "mask of another shape": ((logits, labels, mask[:2, :]), ValueError, r"`mask`.*\(2, 2\)"),
        "mask no array": ((logits, labels, [True]), TypeError, "`mask`"),
        "no classes": ((logits[..., :0], labels), ValueError, "`logits`.*classes"),
        "no axes": ((logits[0, 0, 0], labels), ValueError, "`logits`.*classes"),
    }


def bad_squared_error(xp):
    predictions, labels, mask = to_xp(xp, *example())
    half = xp.astype(predictions, xp.float32)
    return {
        "no array": ((1.0, predictions), TypeError, "`predictions`"),
        "targets no array": ((predictions, 1.0), TypeError, "`targets`"),
        "integers": ((labels, labels), TypeError, "`predictions`.*floating"),
        "another dtype": ((predictions, half), TypeError, "`targets`.*float32"),
        "another shape": ((predictions, predictions[:2, ...]), ValueError, "`targets`"),
        "would broadcast": ((predictions, predictions[..., :1]), ValueError, "`targets`"),
        "floating mask": ((predictions, predictions, predictions), TypeError, "`mask`.*booleans"),
        "mask of another shape": ((predictions, predictions, mask[:2, :]), ValueError, "`mask`"),
        "mask of too few axes": ((predictions, predictions, mask[:, 0]), ValueError, "`mask`"),
    }


@pytest.mark.parametrize(
    ("loss", "table"),
    [(softmax_cross_entropy, bad_cross_entropy), (mean_squared_error, bad_squared_error)],
)
def test_bad_input_is_refused_with_the_arguments_name(xp, loss, table):
    for case, (arguments, error, match) in table(xp).items():
        with pytest.raises(error, match=match):
            pytest.fail(f"{case} was taken, with the result {loss(*arguments)}")


def test_another_library_is_refused(xp):
    import array_api_strict  # noqa: PLC0415

    other = np if xp is array_api_strict else array_api_strict
    logits, labels, mask = to_xp(xp, *example())
    for arguments, name in [
        ((logits, other.asarray(example()[1])), "labels"),
        ((logits, labels, other.asarray(example()[2])), "mask"),
    ]:
        with pytest.raises(TypeError, match=f"`{name}` is an array of"):
            softmax_cross_entropy(*arguments)
    with pytest.raises(TypeError, match="`targets` is an array of"):
        mean_squared_error(logits, other.asarray(example()[0]))
    with pytest.raises(TypeError, match="`mask` is an array of"):
        mean_squared_error(logits, logits, other.asarray(example()[2]))
    assert mask.shape == (3, 2)
