"""A ``torch.nn.Module`` around any net: torch's autograd outside, our backward pass inside.

CPU tensors are read by the compiled engines as NumPy arrays in the same memory. CUDA tensors are
read as CuPy arrays in the same memory, on torch's current stream; this route is unverified on a
GPU: its tests have NumPy in the place of CuPy.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from xpbptt._arrays import check
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import Tree
from xpbptt.bptt import KeepAll, Strategy
from xpbptt.bridges.cache import split
from xpbptt.bridges.given import Given
from xpbptt.bridges.memory import Kept, Memory, keep, memory, unkept
from xpbptt.nets.net import Net, without_noise
from xpbptt.nets.stack import door, signature

__all__ = ["Module"]

PATH = re.compile(r"params\[(\d+)\](?:\[(\d)\])?\.(.+)")
SEEDS = 2**31


class Module(torch.nn.Module):  # type: ignore[misc]  # torch is not seen by the checker
    """A layer of torch that runs a net, forward and backward.

    Its parameters have the names, shapes and order of ``torch.nn.LSTM``, with `proj_size`, too,
    ``GRU`` and ``RNN``, and are drawn as those are, so state dicts go both ways. A cell's other
    parameters are called ``extra_NAME_l0``.

    Parameters
    ----------
    net : Net
        The net, of any cell.
    batch_first : bool
        Whether ``x``, ``y``, ``mask``, ``dt`` and ``reset`` have the batch as their first axis.
    bptt : KeepAll, KeepStates, Segments, Binomial, Budget or Truncated
        How the backward pass pays for memory.
    device : torch.device, optional
        Where the parameters are.
    dtype : torch.dtype, optional
        The dtype of the parameters: float32 or float64; float16 is slow on the CPU.

    Raises
    ------
    TypeError, ValueError
        Where an argument of the constructor or of a call has the wrong type, shape, dtype or
        device. bfloat16 is refused, as neither NumPy nor CuPy has it; under ``torch.autocast``
        inputs are converted to the dtype of the parameters.

    Notes
    -----
    ``module(x, state=None, mask=None, *, dt=None, reset=None, initial=None)`` returns
    ``(y, state)`` as `Net.forward` does: the state is a tuple with an entry a layer, each a named
    tuple of tensors (B, H), or a pair of them. ``x`` may be a ``PackedSequence``, in any order;
    then ``y`` is one, and the states, ``dt`` and ``reset`` are in the order of the sequences that
    were packed.

    Dropout between layers is applied in training mode only, and follows from torch's generator for
    the CPU. Where no gradient is recorded, as under ``torch.no_grad``, nothing is kept. The
    backward pass itself cannot be differentiated: a gradient of a gradient raises an error.
    On CUDA, which is unverified, the results live in CuPy's memory pool: on a stream other than
    the one they were made on, use them only once that stream has waited.
    """

    def __init__(
        self,
        net: Net,
        *,
        batch_first: bool = False,
        bptt: Strategy = KeepAll(),  # noqa: B008 - immutable
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if not isinstance(net, Net):
            message = f"`net` must be an xpbptt.Net, as xpbptt.LSTM(3, 5), got {type(net).__name__}"
            raise TypeError(message)
        check.true_or_false("batch_first", batch_first)
        door.check_strategy(bptt)
        super().__init__()
        self.net, self.batch_first, self.bptt = net, batch_first, bptt
        self._without_noise = without_noise(net)
        shapes = leaves(signature.parameters(net), "params")
        self._shapes = {_name(path): expected.shape for path, expected in shapes}
        for name, shape in self._shapes.items():
            empty = torch.empty(shape, device=device, dtype=dtype)
            self.register_parameter(name, torch.nn.Parameter(empty))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters from U(-1/√H, 1/√H) by torch's generator, as torch.nn does."""
        for name, parameter in self.named_parameters():
            layer = int(name.removesuffix("_reverse").rpartition("_l")[2])
            bound = self.net.sizes[layer] ** -0.5
            torch.nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """Return the net, for ``repr(module)``."""
        return f"{self.net}, batch_first=True" if self.batch_first else str(self.net)

    def forward(
        self,
        x: Any,
        state: Tree = None,
        mask: Any = None,
        *,
        dt: Any = None,
        reset: Any = None,
        initial: Tree = None,
    ) -> tuple[Any, Tree]:
        """Run over sequences.

        Parameters
        ----------
        x : tensor (T, B, I), or (B, T, I) with `batch_first`, or PackedSequence
            The input.
        state : tree of tensors (B, H), optional
            The initial state. Default: zeros.
        mask : tensor (T, B), or (B, T) with `batch_first`, optional
            Boolean, in any pattern; see `Net.forward`. Not together with a PackedSequence.
        dt : tensor (T, B) or (T, B, K), or (B, T) or (B, T, K) with `batch_first`, optional
            The side input, of a net whose cell has one, as `xpbptt.CfC`. Beside a PackedSequence
            it is padded to the longest sequence.
        reset : tensor (T, B), or (B, T) with `batch_first`, optional
            Boolean. Where it is True, the step begins with the initial state again. Beside a
            PackedSequence it is padded as `dt`.
        initial : tree of tensors (B, H), optional
            The state that `reset` restores. Default: `state`.

        Returns
        -------
        y : tensor (T, B, D·H), or (B, T, D·H) with `batch_first`, or PackedSequence
            The hidden states of the last layer.
        state : tree of tensors (B, H)
            The state after the last step of each sequence.
        """
        for name, tensor in (("mask", mask), ("dt", dt), ("reset", reset)):
            if tensor is not None:
                _check_tensor(name, tensor)
        if self.batch_first:
            mask, dt, reset = map(_turned, (mask, dt, reset))
        given = Given(state, dt, initial, mask, reset)
        if isinstance(x, PackedSequence):
            if mask is not None:
                message = "`mask` must be None where `x` is packed: the lengths make the mask"
                raise ValueError(message)
            return self._packed(x, given)
        _check_tensor("x", x)
        if x.dim() != 3:  # noqa: PLR2004 - one for each axis
            axes = "(B, T, I)" if self.batch_first else "(T, B, I)"
            message = f"`x` must have the axes {axes}, got shape {tuple(x.shape)}"
            raise ValueError(message)
        if not self.batch_first:
            return self._run(x, given)
        y, final = self._run(x.transpose(0, 1), given)
        return y.transpose(0, 1), final

    def _packed(self, x: PackedSequence, given: Given) -> tuple[PackedSequence, Tree]:
        """Run over packed sequences, padded and masked."""
        padded, lengths = pad_packed_sequence(x)
        steps = torch.arange(padded.shape[0], device=padded.device)
        mask = steps[:, None] < lengths.to(padded.device)
        y, final = self._run(padded, given._replace(mask=mask))
        if x.sorted_indices is not None:
            y = y.index_select(1, x.sorted_indices)
            lengths = lengths[x.sorted_indices.cpu()]
        data = pack_padded_sequence(y, lengths).data
        return PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices), final

    def _run(self, x: Any, given: Given) -> tuple[Any, Tree]:
        """Run over sequences, time first."""
        weights = [getattr(self, name) for name in self._shapes]
        variables, flags = given.variables, {"mask": given.mask, "reset": given.reset}
        if torch.is_autocast_enabled(x.device.type):
            x, variables = map_leaves(lambda tensor: tensor.to(weights[0].dtype), (x, variables))
        beside = [(path[1:], tensor) for path, tensor in leaves(variables, "")]
        named = [("x", x), *zip(self._shapes, weights, strict=True), *beside]
        constant = [leaf for name, flag in flags.items() for leaf in leaves(flag, name)]
        for name, tensor in [*named, *constant]:
            _check(name, tensor, x)
        net = self.net if self.training else self._without_noise
        seed = int(torch.randint(SEEDS, ())) if net.draws else None
        how = How(net, self.bptt, seed, variables._replace(**flags))
        tensors = [tensor for _, tensor in named]
        recording = torch.is_grad_enabled() and any(each.requires_grad for each in tensors)
        y, *final = Pass.apply(how, *tensors) if recording else how.infer(tensors)
        return y, _filled(signature.states(net, x.shape[1]), final)


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
        params, given = _filled((signature.parameters(self.net), self.given.variables), rest)
        mask, reset = map_leaves(shared.array, (self.given.mask, self.given.reset))
        return params, x, given._replace(mask=mask, reset=reset)


class Pass(torch.autograd.Function):  # type: ignore[misc]  # as above
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
            dstate = _filled(signature.states(ctx.net, dy.shape[1]), map(shared.array, dfinal))
            grads = ctx.net.backward(cache, shared.array(dy), dstate)
            found = (grads.x, grads.params, ctx.given.gradients(grads))
            gradients = tuple(shared.tensor(array) for _, array in leaves(found))
        if torch.is_grad_enabled():  # with create_graph=True
            recorded = [each for each in (*ctx.saved_tensors, dy, *dfinal) if each.requires_grad]
            gradients = Once.apply(len(recorded), *recorded, *gradients)
        return (None, *gradients)


class Once(torch.autograd.Function):  # type: ignore[misc]  # as above
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


def _filled(tree: Tree, flat: Iterable[Any]) -> Tree:
    """Return a tree with other leaves."""
    waiting = iter(flat)
    return map_leaves(lambda _: next(waiting), tree)


def _name(path: str) -> str:
    """Return torch's name of a parameter: ``weight_ih_l0_reverse`` for params[0][1].weight_ih."""
    layer, direction, field = PATH.fullmatch(path).groups()  # type: ignore[union-attr]
    field = "weight_hr" if field == "extra.weight_hr" else field.replace(".", "_")
    return f"{field}_l{layer}{'_reverse' if direction == '1' else ''}"


def _turned(tensor: Any) -> Any:
    """Return a tensor (B, T, ...) as (T, B, ...); the net refuses other shapes."""
    return tensor.transpose(0, 1) if getattr(tensor, "ndim", 0) > 1 else tensor


def _check(name: str, tensor: Any, like: Any) -> None:
    """Refuse what cannot be shared with NumPy or CuPy, or lies elsewhere than `like`, the input."""
    _check_tensor(name, tensor)
    if tensor.dtype is torch.bfloat16:
        message = (
            f"`{name}` has dtype torch.bfloat16, which neither NumPy nor CuPy has: convert it, as "
            "by `.float()`"
        )
        raise TypeError(message)
    if tensor.device != like.device:
        message = (
            f"`{name}` is on device {tensor.device}, but `x` is on {like.device}: move one of them"
        )
        raise ValueError(message)


def _check_tensor(name: str, tensor: Any) -> None:
    """Refuse anything but a dense tensor on a device with a memory that can be shared."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided:
        came = getattr(tensor, "layout", type(tensor).__name__)
        message = f"`{name}` must be a dense tensor of torch, got {came}"
        raise TypeError(message)
    if tensor.device.type not in {"cpu", "cuda"}:
        message = f"`{name}` is on device {tensor.device}, expected cpu or cuda"
        raise ValueError(message)
