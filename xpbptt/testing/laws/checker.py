"""Law 8: published bugs of hand-written BPTT, each put into a cell, are each rejected.

A mutant changes one function of a recurrence, or of a bidirectional layer.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from xpbptt._arrays.tree import map_leaves
from xpbptt.bptt import (
    KeepAll,
    Layer,
    Recurrence,
    Run,
    Watch,
    chain,
    concatenate,
    reverse,
    unroll,
)
from xpbptt.nets.net import Net
from xpbptt.testing.checks.gradients import check_gradients
from xpbptt.testing.checks.layer import GradientError
from xpbptt.testing.laws.compare import LawError
from xpbptt.testing.laws.sample import HIDDEN_SIZE, INPUT_SIZE, UNASKED, as_net, draw

Change = Callable[..., Any]


class Whole(NamedTuple):
    """A layer as a class of one's own would be: `forward`, `backward`, and what a net tells."""

    layer: Layer
    xp: Any
    bidirectional: bool = False
    num_layers: int = 1
    hidden_size: int = HIDDEN_SIZE

    def forward(self, params: Any, x: Any, state: Any) -> Any:
        """Run over a sequence."""
        run = Run(None, KeepAll().plan(x.shape[0], UNASKED))
        return self.layer.forward(params, x, state, run, xp=self.xp)

    def backward(self, cache: Any, dy: Any, dstate: Any) -> Any:
        """Return the gradients."""
        return self.layer.backward(cache, dy, dstate, Watch(), xp=self.xp)[0]


def product_with_the_new_state(r: Recurrence) -> Recurrence:
    """Pair dz with the state after the step instead of before in the gradient of W_hh."""

    def step_backward(
        params: Any, residuals: Any, state: Any, new: Any, dnew: Any, *, xp: Any
    ) -> Any:
        record, dstate = r.step_backward(params, residuals, state, new, dnew, xp=xp)
        return (*record, *new), dstate

    def accumulate(params: Any, x: Any, states: Any, records: Any, *, xp: Any) -> Any:
        count = len(states)
        return r.accumulate(params, x, records[-count:], records[:-count], xp=xp)

    return r._replace(step_backward=step_backward, accumulate=accumulate)


def first_step_never_computed(r: Recurrence) -> Recurrence:
    """Stop the loop back one step early."""

    def without_first(record: Any, xp: Any) -> Any:
        return xp.concat((xp.zeros_like(record[:1, ...]), record[1:, ...]), axis=0)

    return _with_records(r, without_first)


def buffer_starts_as_the_weights(r: Recurrence) -> Recurrence:
    """Copy the buffer of the gradient from the weights and never zero it."""

    def change(params: Any, dparams: Any, dx: Any, _records: Any, _xp: Any) -> Any:
        return map_leaves(lambda w, dw: w + dw, params, dparams), dx

    return _with_gradients(r, change)


def gate_gradients_never_written(r: Recurrence) -> Recurrence:
    """Leave the gradients of the gates at zero."""
    return _with_records(r, lambda record, xp: xp.zeros_like(record))


def input_gradient_through_the_hidden_slice(r: Recurrence) -> Recurrence:
    """Take the gradient of x through columns of W_hh."""

    def change(params: Any, dparams: Any, dx: Any, records: Any, _xp: Any) -> Any:
        weight = params.weight_hh[:, : dx.shape[2]]
        return dparams, records[0][..., : weight.shape[0]] @ weight

    return _with_gradients(r, change)


def weights_doubled(r: Recurrence) -> Recurrence:
    """Add the gradient of W_ih to itself."""

    def change(_params: Any, dparams: Any, dx: Any, _records: Any, _xp: Any) -> Any:
        return dparams._replace(weight_ih=2 * dparams.weight_ih), dx

    return _with_gradients(r, change)


def bias_from_the_wrong_gate(r: Recurrence) -> Recurrence:
    """Give the bias the gradient of the next gate."""

    def change(_params: Any, dparams: Any, dx: Any, _records: Any, xp: Any) -> Any:
        size = HIDDEN_SIZE
        wrong = xp.concat((dparams.bias_ih[size:], dparams.bias_ih[:size]), axis=0)
        return dparams._replace(bias_ih=wrong), dx

    return _with_gradients(r, change)


def carry_never_propagated(r: Recurrence) -> Recurrence:
    """Hand no gradient back from a step to the step before."""

    def step_backward(
        params: Any, residuals: Any, state: Any, new: Any, dnew: Any, *, xp: Any
    ) -> Any:
        record, dstate = r.step_backward(params, residuals, state, new, dnew, xp=xp)
        return record, map_leaves(xp.zeros_like, dstate)

    return r._replace(step_backward=step_backward)


def reversal_that_does_not_reverse(one: Layer) -> Layer:
    """Read forwards in both directions: the gradients are right, only the direction can tell."""
    return concatenate(one, one)


def same_half_for_both_directions(one: Layer) -> Layer:
    """Give both directions the first half of dy."""
    right = concatenate(one, reverse(one))

    def backward(cache: Any, dy: Any, dstate: Any, watch: Watch, *, xp: Any) -> Any:
        half = dy[..., : cache.width]
        return right.backward(cache, xp.concat((half, half), axis=-1), dstate, watch, xp=xp)

    return right._replace(backward=backward)


IN_THE_CELL: tuple[Callable[[Recurrence], Recurrence], ...] = (
    product_with_the_new_state,
    first_step_never_computed,
    buffer_starts_as_the_weights,
    gate_gradients_never_written,
    input_gradient_through_the_hidden_slice,
    weights_doubled,
    bias_from_the_wrong_gate,
    carry_never_propagated,
)
WITH_W_HH = (product_with_the_new_state, input_gradient_through_the_hidden_slice)
IN_THE_LAYER: tuple[Callable[[Layer], Layer], ...] = (
    reversal_that_does_not_reverse,
    same_half_for_both_directions,
)


def mutants(net: Any, *, xp: ModuleType | None = None, seed: int = 0) -> None:
    """Check that each of ten published bugs, put into the cell, is rejected by `check_gradients`.

    The unchanged cell passes in the same place. A cell with one gate has no wrong one, and one
    whose gates have no product with the state no wrong product: these bugs are left out.

    Parameters
    ----------
    net : Net, Cell or Recurrence
        What is checked: its cell, in nets of one layer, with parameters `Weights`.
    xp : namespace, optional
        The array library. Default: NumPy.
    seed : int
        Where all numbers come from.

    Raises
    ------
    AssertionError
        Where a bug passes the check, or the unchanged cell does not.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.testing.laws.mutants(xpbptt.GRU(3, 5))
    """
    cell = as_net(net).cell
    for both in (False, True):
        small = Net(cell, INPUT_SIZE, HIDDEN_SIZE, bidirectional=both)
        of = draw(small, xp=xp, seed=seed)
        case, right = (of.params, of.x, of.state), small.recurrence
        one = unroll(right)
        how = of.xp, both, 1, small.output_size // small.directions
        layers: dict[str, Layer] = {}
        if both:
            right_way = chain([concatenate(one, reverse(one))])
            check_gradients(Whole(right_way, *how), *case)
            layers = {change.__name__: change(one) for change in IN_THE_LAYER}
        else:
            check_gradients(Whole(chain([one]), *how), *case)
            first = of.params[0]
            absent: tuple[Change, ...] = WITH_W_HH if isinstance(first.weight_hh, tuple) else ()
            if not absent and first.weight_hh.shape[1] < INPUT_SIZE:
                absent = (input_gradient_through_the_hidden_slice,)
            if first.weight_ih.shape[0] == HIDDEN_SIZE:
                absent += (bias_from_the_wrong_gate,)
            layers = {
                change.__name__: unroll(change(right))
                for change in IN_THE_CELL
                if change not in absent
            }
        for name, layer in layers.items():
            try:
                check_gradients(Whole(chain([layer]), *how), *case)
            except GradientError:
                continue
            message = f"mutants: check_gradients accepts {name} in {cell.name}"
            raise LawError(message)


def _with_records(r: Recurrence, change: Change) -> Recurrence:
    def accumulate(params: Any, x: Any, states: Any, records: Any, *, xp: Any) -> Any:
        changed = tuple(change(record, xp) for record in records)
        return r.accumulate(params, x, states, changed, xp=xp)

    return r._replace(accumulate=accumulate)


def _with_gradients(r: Recurrence, change: Change) -> Recurrence:
    def accumulate(params: Any, x: Any, states: Any, records: Any, *, xp: Any) -> Any:
        dparams, dx = r.accumulate(params, x, states, records, xp=xp)
        return change(params, dparams, dx, records, xp)

    return r._replace(accumulate=accumulate)
