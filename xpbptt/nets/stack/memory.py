"""The memory that the passes of a net take, in bytes, as strategies ask for it."""

from typing import NamedTuple

from xpbptt.bptt.layers.layer import Layer
from xpbptt.bptt.layers.memory import Needs, Sizes
from xpbptt.bptt.strategies import KeepAll, Plan


class Memory(NamedTuple):
    """What plans take for one net, its sizes and dtype.

    Attributes
    ----------
    layer : Layer
        All layers of the net.
    sizes : Sizes
        What they are run on.
    net : object
        The net, for messages.
    """

    layer: Layer
    sizes: Sizes
    net: object

    @property
    def ratio(self) -> float:
        """What is kept of a step with everything, over a state."""
        needs = self.needs(KeepAll().plan(self.sizes.length, self))
        return needs.step / needs.state

    def peak(self, plan: Plan) -> int:
        """Return the most bytes at any time of both passes."""
        return self.sizes.itemsize * self.needs(plan).peak(self.sizes.batch)

    def needs(self, plan: Plan) -> Needs:
        """Return what the layers state."""
        return self.layer.memory(self.sizes, plan)

    def __str__(self) -> str:
        return f"T = {self.sizes.length}, B = {self.sizes.batch} in {self.net}"
