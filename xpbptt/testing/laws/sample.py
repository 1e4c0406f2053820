"""What a law runs a net on: arrays drawn from a seed, and the passes."""

from dataclasses import fields, replace
from itertools import count
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from xpbptt._arrays.namespace import standard
from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Tree
from xpbptt.bptt import KeepAll, Recurrence, Strategy
from xpbptt.cells import Cell
from xpbptt.nets.net import Net, without_noise
from xpbptt.testing.laws.wide import Wide

INPUT_SIZE, HIDDEN_SIZE = 3, 5  # of a bare cell
STEPS, BATCH = 6, 4  # the least; more where a size of the net is the same

UNASKED: Any = None  # in place of the memory, of which KeepAll asks nothing


class Sample(NamedTuple):
    """A net and everything that its passes take.

    Attributes
    ----------
    net : Net
        The net.
    xp : namespace
        The namespace of the arrays.
    params : tree of arrays
        The parameters.
    x : array (T, B, I)
        The input.
    state : tree of arrays (B, H)
        The initial state.
    dy : array (T, B, D·H)
        The gradient of the outputs.
    dstate : tree of arrays (B, H)
        The gradient of the final state.
    mask : array (T, B) or None
        Which steps count.
    seed : int
        What dropout follows from.
    reset : array (T, B) or None
        Which steps begin with the initial state again.
    initial : tree of arrays (B, H) or None
        The state that resets restore.
    """

    net: Net[Any, Any, Any]
    xp: Any
    params: Tree
    x: AnyArray
    state: Tree
    dy: AnyArray
    dstate: Tree
    mask: AnyArray | None
    seed: int
    reset: AnyArray | None = None
    initial: Tree = None

    def options(self) -> dict[str, Any]:
        """Return the options of a forward pass."""
        return {"dropout_seed": self.seed} if self.net.draws else {}

    def resets(self) -> dict[str, Any]:
        """Return the resets, as every pass takes them."""
        return {} if self.reset is None else {"reset": self.reset, "initial": self.initial}

    def forward(self, bptt: Strategy = KeepAll()) -> tuple[AnyArray, Tree, Any]:  # noqa: B008
        """Run the forward pass; return ``y, state, cache``."""
        options = self.resets() | self.options()
        given = self.params, self.x, self.state, self.mask
        return self.net.forward(*given, bptt=bptt, **options)  # type: ignore[no-any-return]

    def train(
        self,
        bptt: Strategy = KeepAll(),  # noqa: B008 - immutable
        **options: Any,
    ) -> dict[str, Tree]:
        """Run both passes; return all that they return, by name."""
        y, state, cache = self.forward(bptt)
        back = self.net.backward(cache, self.dy, self.dstate, **options)
        grads, trace = back if options.get("trace") else (back, None)
        return {"y": y, "state": state, "grads": grads, "trace": trace}

    def infer(self) -> dict[str, Tree]:
        """Run without a backward pass."""
        y, state = self.net.infer(self.params, self.x, self.state, self.mask, **self.resets())
        return {"y": y, "state": state}

    def stream(self) -> dict[str, Tree]:
        """Run one step after the other."""
        state, outputs = self.state, []
        for t in range(self.x.shape[0]):
            again = {} if self.reset is None else {"reset": self.reset[t, :]}
            if self.initial is not None:
                again["initial"] = self.initial
            y, state = self.net.step(self.params, self.x[t, ...], state, **again)
            outputs.append(y)
        return {"y": self.xp.stack(outputs, axis=0), "state": state}


def as_net(net: Any, *, dropout: bool = False, one_way: bool = False) -> Net[Any, Any, Any]:
    """Return the net that a law is about: of a bare cell, a net of one layer.

    Without `dropout` the net drops nothing, as not all laws hold of a net that does; with `one_way`
    it is not bidirectional.
    """
    if isinstance(net, (Cell, Recurrence)):
        net = Net(net, INPUT_SIZE, HIDDEN_SIZE)
    if not isinstance(net, Net):
        message = f"`net` must be a Net, a Cell or a Recurrence, got {type(net).__name__}"
        raise TypeError(message)
    if net.recurrence.side and not isinstance(net, Wide):
        net = Wide(**{each.name: getattr(net, each.name) for each in fields(net)})
    if net.draws and not dropout:
        net = without_noise(net)
    return replace(net, bidirectional=False) if one_way and net.bidirectional else net


def as_eager(net: Net[Any, Any, Any]) -> Net[Any, Any, Any]:
    """Return the net whose steps are run eagerly, as those of a Recurrence are."""
    return replace(net, cell=net.recurrence)


def draw(
    net: Net[Any, Any, Any],
    *,
    xp: ModuleType | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch: int | None = None,
    masked: bool = False,
    reset: bool = False,
    dtype: str = "float64",
) -> Sample:
    """Draw what a net takes; the same numbers on every library.

    The weights are three times those of `Net.init`, so that gates saturate. The mask has, one after
    the other, sequences with gaps, padding at the end and padding at the start, and one that is
    masked at every step.

    Parameters
    ----------
    net : Net
        The net.
    xp : namespace, optional
        The array library. Default: NumPy.
    seed : int
        Where the numbers come from.
    steps, batch : int, optional
        The sizes T and B. Default: about 6 and 4, different from each other and from every size of
        the net, so that no transposed matrix goes unseen.
    masked, reset : bool
        Whether there is a mask, and whether there are resets, which restore a state of their own.
    dtype : str
        The dtype of the arrays.
    """
    namespace = standard(np if xp is None else xp)
    taken = {net.input_size, *net.sizes, *(net.directions * size for size in net.sizes)}
    steps = next(n for n in count(STEPS) if n not in taken) if steps is None else steps
    batch = next(n for n in count(BATCH) if n not in taken | {steps}) if batch is None else batch
    random = np.random.default_rng(seed)
    params = map_leaves(lambda weight: 3 * weight, net.init(seed, dtype=np.float64))
    x = random.standard_normal((steps, batch, net.input_size + net.recurrence.side))
    start = net.infer(params, x[:0, ...])[1]

    def normal(like: Any) -> Any:
        return random.standard_normal(like.shape)

    def here(array: Any) -> AnyArray:
        kind = "bool" if array.dtype == bool else dtype
        return namespace.asarray(array, dtype=getattr(namespace, kind), copy=True)

    dy = random.standard_normal((steps, batch, net.output_size))
    state, dstate = map_leaves(normal, start), map_leaves(normal, start)
    mask = pattern(steps, batch, random) if masked else None
    again = random.random((steps, batch)) < 0.3 if reset else None  # noqa: PLR2004 - some
    first = map_leaves(normal, start) if reset else None
    numbers = (params, x, state, dy, dstate, mask)
    params, x, state, dy, dstate, mask = map_leaves(here, numbers)
    again, first = map_leaves(here, (again, first))
    return Sample(net, namespace, params, x, state, dy, dstate, mask, seed, again, first)


def pattern(steps: int, batch: int, random: np.random.Generator) -> Any:
    """Return a mask (T, B) of NumPy with every kind of gap."""
    times, half = np.arange(steps), steps // 2
    kinds = (random.random(steps) < 0.7, times < half, times >= half, times < 0)  # noqa: PLR2004
    return np.stack([kinds[b % len(kinds)] for b in range(batch)] or [times < 0], axis=1)[:, :batch]
