"""A ``torch.nn.Module`` around any net: torch's autograd outside, our backward pass inside.

CPU tensors are read by the compiled engines as NumPy arrays in the same memory. CUDA tensors are
read as CuPy arrays in the same memory, on torch's current stream; this route is unverified on a
GPU: its tests have NumPy in the place of CuPy.
"""

import re
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from xpbptt._arrays import check
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import Tree
from xpbptt.bptt import KeepAll, Strategy
from xpbptt.bridges.autograd import How, Pass, filled
from xpbptt.bridges.given import Given
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
        device. bfloat16 is refused, as neither NumPy nor CuPy's namespace has it; under
        ``torch.autocast`` inputs are converted to the dtype of the parameters.

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
        return y, filled(signature.states(net, x.shape[1]), final)


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
            f"`{name}` has dtype torch.bfloat16, which neither NumPy nor CuPy's namespace has: "
            "convert it, as by `.float()`"
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
