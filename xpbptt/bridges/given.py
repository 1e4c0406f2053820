"""What a pass is given beside the parameters and the input, as one value."""

from typing import Any, NamedTuple

from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import Tree


class Given(NamedTuple):
    """The arguments of `Net.forward` by their names; None for one that is left out.

    Attributes
    ----------
    state : tree of arrays (B, H)
        The initial state.
    dt : array (T, B) or (T, B, K)
        The side input.
    initial : tree of arrays (B, H)
        The state that resets restore.
    mask, reset : array (T, B)
        Booleans, which have no gradient.
    """

    state: Tree = None
    dt: Any = None
    initial: Tree = None
    mask: Any = None
    reset: Any = None

    @property
    def variables(self) -> "Given":
        """What has a gradient, without the booleans."""
        return self._replace(mask=None, reset=None)

    @property
    def hollow(self) -> "Given":
        """The same without arrays: for `gradients`, it holds no memory."""
        return Given(*(map_leaves(lambda _: (), each) for each in self))

    def gradients(self, grads: Any) -> "Given":
        """Return the gradient of each variable in its place, of those from `Net.backward`."""
        names = [name for name, each in self.variables._asdict().items() if each is not None]
        return Given(**{name: getattr(grads, name) for name in names})
