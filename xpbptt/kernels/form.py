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
    """

    masked: bool = False
    resets: bool = False
    states: bool = False

    @property
    def label(self) -> str:
        """What tells the names of its programs apart."""
        return "".join(
            f"{name}_" for name, wanted in zip(self._fields, self, strict=True) if wanted
        )


PLAIN = Form()
