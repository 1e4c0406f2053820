"""One case of the fuzz, as plain values, so that it can be printed and shrunk."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import xpbptt
from xpbptt.bptt import Strategy

from .random_cell import random_cell

NETS = {
    "rnn": xpbptt.RNN,
    "rnn-relu": lambda *sizes, **options: xpbptt.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": xpbptt.LSTM,
    "gru": xpbptt.GRU,
    "gru-before": lambda *sizes, **options: xpbptt.GRU(*sizes, reset_after=False, **options),
    "peephole": xpbptt.PeepholeLSTM,
    "layer-norm-lstm": xpbptt.LayerNormLSTM,
    "layer-norm-gru": xpbptt.LayerNormGRU,
    "lstmp": lambda *sizes, **options: xpbptt.LSTMP(*sizes, proj_size=3, **options),
}


@dataclass(frozen=True)
class Case:
    """A net, its sizes, what a pass is given and how it is run.

    The defaults are the simplest; shrinking leads towards them.

    Attributes
    ----------
    cell : str
        A name of `NETS`, or ``random-SEED``.
    steps, batch, inputs, hidden : int
        The sizes T, B, I and H.
    native : bool
        Whether floating-point numbers are in the machine's byte order.
    scale : float
        The factor of the initial parameters; large ones saturate the gates.
    mask : str
        ``none``, ``full`` (all True), ``empty`` (all False), ``padding`` or ``gaps``.
    spoilt : bool
        Whether input and gradient are NaN where the mask is False.
    strategy : tuple
        The name of a strategy and its number; that of a Budget is the share of what KeepAll takes.
    layouts : tuple of str
        The memory layouts that arrays are given by turns, see `layouts`.
    chunks : tuple of int
        Where the sequence is cut for the check that chunks are the whole.
    constants : tuple of (str, int)
        Constants of the engines and what to set them to, see `constants`.
    seed : int
        Of the arrays' numbers.
    reset : bool
        Whether some steps begin with the initial state again.
    recurrent, zoneout : float
        The rates of recurrent dropout and of zoneout.
    per_sample : bool
        Whether the gradients of the parameters are those of each sequence.
    """

    cell: str = "rnn"
    layers: int = 1
    both: bool = False
    dropout: float = 0.0
    steps: int = 1
    batch: int = 1
    inputs: int = 1
    hidden: int = 1
    dtype: str = "float64"
    native: bool = True
    scale: float = 1.0
    mask: str = "none"
    spoilt: bool = False
    strategy: tuple = ("KeepAll",)
    with_state: bool = False
    with_dstate: bool = False
    trace: bool = False
    clip: float | None = None
    layouts: tuple[str, ...] = ("plain",)
    chunks: tuple[int, ...] = ()
    constants: tuple[tuple[str, int], ...] = ()
    seed: int = 0
    reset: bool = False
    recurrent: float = 0.0
    zoneout: float = 0.0
    per_sample: bool = False

    @property
    def noisy(self) -> bool:
        """Whether `forward` draws something."""
        return bool(self.dropout or self.recurrent or self.zoneout)

    def __repr__(self) -> str:
        changed = (f for f in fields(self) if getattr(self, f.name) != f.default)
        return f"Case({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in changed)})"

    def net(self) -> xpbptt.Net:
        """Return the net."""
        options = {"bidirectional": self.both, "dropout": self.dropout, "zoneout": self.zoneout}
        sizes = self.inputs, self.hidden, self.layers
        if self.cell in NETS:
            net = NETS[self.cell](*sizes, **options)
        else:
            cell = random_cell(int(self.cell.removeprefix("random-")))
            net = xpbptt.Net(cell, *sizes, **options)
        if net.recurrence.drops is None:  # no product to drop from
            return net
        return replace(net, recurrent_dropout=self.recurrent)

    def bptt(self) -> Strategy:
        """Return the strategy."""
        name, *number = self.strategy
        return self._budget(*number) if name == "Budget" else getattr(xpbptt, name)(*number)

    def _budget(self, share: float) -> Strategy:
        """Return the budget that lies between the least and the most memory by a share of it."""
        sizes, masked = (self.steps, self.batch, self.dtype), self.mask != "none"
        net = self.net()
        least, most = (
            net.cost(*sizes, bptt=bptt, masked=masked, reset=self.reset).peak
            for bptt in (xpbptt.Binomial(1), xpbptt.KeepAll())
        )  # where there are few steps, the least is not the least
        return xpbptt.Budget(max(1, least, round(least + share * (most - least))))


def simpler(case: Case) -> Iterator[Case]:
    """Yield cases that differ from this one in a single field and are simpler."""
    for field in fields(case):
        value, simplest = getattr(case, field.name), field.default
        if value == simplest:
            continue
        yield replace(case, **{field.name: simplest})
        if field.name in {"steps", "batch", "inputs", "hidden", "layers"} and value > 2:
            yield replace(case, **{field.name: value // 2})
            yield replace(case, **{field.name: value - 1})
        if field.name in {"constants", "layouts", "chunks"} and len(value) > 1:
            for k in range(len(value)):
                yield replace(case, **{field.name: value[:k] + value[k + 1 :]})


def shrunk(case: Case, fails, enough) -> Case:
    """Return the simplest case found that still fails, until `enough()` is true."""
    again = True
    while again:
        again = False
        for other in simpler(case):
            if enough():
                return case
            if fails(other):
                case, again = other, True
                break
    return case
