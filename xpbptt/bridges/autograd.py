"""A pass of a net as a function of torch's autograd."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch

from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import Tree
from xpbptt.bptt import Strategy
from xpbptt.bridges.cache import split
from xpbptt.bridges.given import Given
from xpbptt.bridges.memory import Kept, Memory, keep, memory, unkept
from xpbptt.nets.net import Net
from xpbptt.nets.stack import signature


class How(NamedTuple):
    """What a pass is given beside the tensors that may have gradients.

    Those are the input, the parameters and the variables of `given`.

    Attributes
    ----------
    net : Net
        The net.
    bptt : Strategy
        How its backward pass pays for memory.
    seed : int or None
        What dropout follows from.
    given : Given
        The mask and the resets, and the structure in which the last of the tensors are put.
    """

    net: Net
    bptt: Strategy
    seed: int | None
    given: Given

    def infer(self, tensors: Sequence[Any]) -> list[Any]:
        """Return the output and the parts of the final state, keeping nothing."""
        shared, device = memory(tensors[0].device.type), tensors[0].device
        with shared.current(device):
            arrays = [shared.array(tensor) for tensor in tensors]
            if self.seed is None:
                params, x, given = self.arguments(arrays, shared)
                y, final = self.net.infer(params, x, **given._asdict())
            else:
                y, final, _ = self.forward(arrays, shared)
            return [shared.tensor(array) for _, array in leaves((y, final))]

    def forward(self, arrays: Sequence[Any], shared: Memory) -> tuple[Any, Tree, Any]:
        """Return the output, the final state and the cache."""
        params, x, given = self.arguments(arrays, shared)
        return self.net.forward(
            params, x, **given._asdict(), bptt=self.bptt, dropout_seed=self.seed
        )

    def arguments(self, arrays: Sequence[Any], shared: Memory) -> tuple[Tree, Any, Given]:
        """Return the parameters, the input and what else a net takes."""
        x, *rest = arrays
        params, given = filled((signature.parameters(self.net), self.given.variables), rest)
        mask, reset = map_leaves(shared.array, (self.given.mask, self.given.reset))
        return params, x, given._replace(mask=mask, reset=reset)


class Pass(torch.autograd.Function):  # type: ignore[misc]  # torch is not seen by the checker
    """A forward pass, and the backward pass that torch calls for it."""

    @staticmethod
    def forward(ctx: Any, how: How, *tensors: Any) -> tuple[Any, ...]:
        """Run and keep what is needed; torch holds it, and frees it after the backward pass."""
        shared, device = memory(tensors[0].device.type), tensors[0].device
        with shared.current(device):
            arrays = [shared.array(tensor) for tensor in tensors]
            y, final, cache = how.forward(arrays, shared)
            parts, ctx.frame = split(cache)
            # The caller's own tensors are kept as such, so that torch sees writes into them.
            own = {id(array): Kept(tensor) for array, tensor in zip(arrays, tensors, strict=True)}
            kept = [own.get(id(part)) or keep(part, shared) for part in parts]
            outputs = [shared.tensor(array) for _, array in leaves((y, final))]
            written = [outputs[0]] if any(shared.overlap(y, part) for part in parts) else []
        ctx.save_for_backward(*(each.tensor for each in kept), *written)
        ctx.turns = [each.turns for each in kept]
        ctx.net, ctx.given = how.net, how.given.hollow
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, dy: Any, *dfinal: Any) -> tuple[Any, ...]:
        """Return the gradients of the tensors."""
        shared, device = memory(dy.device.type), dy.device
        with shared.current(device):
            saved = zip(ctx.saved_tensors, ctx.turns, strict=False)
            cache = ctx.frame.filled([unkept(Kept(*each), shared) for each in saved])
            dstate = filled(signature.states(ctx.net, dy.shape[1]), map(shared.array, dfinal))
            grads = ctx.net.backward(cache, shared.array(dy), dstate)
            found = (grads.x, grads.params, ctx.given.gradients(grads))
            gradients = tuple(shared.tensor(array) for _, array in leaves(found))
        if torch.is_grad_enabled():  # with create_graph=True
            recorded = [each for each in (*ctx.saved_tensors, dy, *dfinal) if each.requires_grad]
            gradients = Once.apply(len(recorded), *recorded, *gradients)
        return (None, *gradients)


class Once(torch.autograd.Function):  # type: ignore[misc]  # torch is not seen by the checker
    """Gradients that cannot be differentiated.

    torch's ``once_differentiable`` gives them no history where the loss is linear in the output, so
    that a penalty on a gradient would be left out without a word.
    """

    @staticmethod
    def forward(_: Any, recorded: int, *tensors: Any) -> tuple[Any, ...]:
        """Return the tensors after the first `recorded` ones, which require grad."""
        return tuple(tensor.view_as(tensor) for tensor in tensors[recorded:])

    @staticmethod
    def backward(*_: Any) -> None:
        """Refuse."""
        message = (
            "a gradient of an xpbptt net cannot be differentiated again: its backward pass is "
            "written by hand, once; leave out `create_graph=True`"
        )
        raise RuntimeError(message)


def filled(tree: Tree, flat: Iterable[Any]) -> Tree:
    """Return a tree with other leaves."""
    waiting = iter(flat)
    return map_leaves(lambda _: next(waiting), tree)
