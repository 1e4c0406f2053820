"""The memory of a layer, counted in elements: of what size, what it keeps, what it needs.

Each layer states it in its function `memory`, beside the code that takes the memory; combinators
add up what their layers state. Counted are arrays, on a library whose `flip` is a view, as NumPy's
and CuPy's are; Python's objects are not.
"""

from typing import Any, NamedTuple

STEPS = 2  # the arrays of so many steps are allowed for what a single step needs on its way


class Sizes(NamedTuple):
    """What a layer is run on.

    Attributes
    ----------
    length, batch : int
        T and B.
    inputs : int
        I.
    hidden : int or tuple of int
        H; of several layers, one above the other, that of each.
    itemsize : int
        The bytes of an element.
    masked : bool
        Whether there is a mask.
    views : bool
        Whether `x` and `dy` are views, reversed or of some columns, which are copied before use.
    inner : bool
        Whether `y` goes to another layer. Else it is the caller's and not counted.
    resets : bool
        Whether some steps begin with the initial state again.
    every : bool
        Whether the states of all steps have gradients of their own.
    paired : bool
        Whether another direction of the same layer is run, too.
    xp : namespace or None
        The namespace of the arrays. None counts what is the same on all that run one direction
        after the other.
    """

    length: int
    batch: int
    inputs: int
    hidden: Any
    itemsize: int
    masked: bool = False
    views: bool = False
    inner: bool = False
    resets: bool = False
    every: bool = False
    paired: bool = False
    xp: Any = None

    def of_layer(self, k: int) -> "Sizes":
        """Return the sizes of one of several layers."""
        return self if isinstance(self.hidden, int) else self._replace(hidden=self.hidden[k])

    def steps(self, width: int) -> int:
        """Return the elements of an array (T, B, width)."""
        return self.length * self.batch * width

    def states(self, width: int) -> int:
        """Return the elements of an array (T + 1, B, width), as that of all states."""
        return (self.length + 1) * self.batch * width


class Needs(NamedTuple):
    """What a layer keeps and needs, in elements.

    Attributes
    ----------
    width : int
        The columns O of its output.
    kept : int
        What `forward` keeps for `backward`, beside `x`.
    keeps_x : bool
        Whether it keeps `x`, too.
    y : int
        The size of the output; 0 where it shares memory with what is kept.
    forward : int
        The most there is at any time of `forward`, what is kept included.
    backward : int
        The most there is at any time of `backward`, beside what is kept, `dy` and the gradient
        of `x`.
    step : int
        What a step of one sequence makes.
    state : int
        The state of one sequence.
    runs : int
        How many times a pass over the sequence is run forward.
    pairs : bool
        Whether it is run at once with another direction, if there is one.
    """

    width: int
    kept: int = 0
    keeps_x: bool = False
    y: int = 0
    forward: int = 0
    backward: int = 0
    step: int = 0
    state: int = 0
    runs: int = 0
    pairs: bool = False

    def peak(self, batch: int) -> int:
        """Return the most there is at any time, beside parameters, `x`, `y` and gradients."""
        return STEPS * batch * self.step + max(self.kept, self.forward, self.kept + self.backward)
