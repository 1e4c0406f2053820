"""The forms of a cell's programs: what a pass is given beside input and state."""

from typing import NamedTuple


class Form(NamedTuple):
    """Which of a cell's programs a pass needs.

    Attributes
    ----------
    masked : bool
        Whether some steps leave the state of some sequences alone.
    resets : bool
        Whether some steps begin with the initial state again.
    states : bool
        Whether the states of all steps have gradients of their own.
    drops : bool
        Whether what W_hh reads is multiplied by factors, as in recurrent dropout.
    zoned : tuple of bool
        Which parts of the state are left what they were here and there, as by zoneout.
    adds : bool
        Whether the steps back add up the gradients of the cell's own parameters, (B, …), instead
        of recording them at each step.
    """

    masked: bool = False
    resets: bool = False
    states: bool = False
    drops: bool = False
    zoned: tuple[bool, ...] = ()
    adds: bool = False

    @property
    def label(self) -> str:
        """What tells the names of its programs apart."""
        return "".join(f"{name}_" for name, value in self._asdict().items() if value)


PLAIN = Form()
