"""The model: a recurrent net over one-hot characters, and a linear readout.

T time steps, B streams of text side by side, V characters in the vocabulary. Parameters are the
tree ``{"net": ..., "readout": ...}``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpbptt._arrays.types import AnyArray, Namespace, Seed, Tree
from xpbptt.commands.train.settings import Settings
from xpbptt.losses import softmax_cross_entropy
from xpbptt.nets import make as nets
from xpbptt.nets.linear import Linear
from xpbptt.nets.net import Net

_NETS: dict[str, Callable[..., Net]] = {"rnn": nets.RNN, "lstm": nets.LSTM, "gru": nets.GRU}
_STREAM = 1000  # about the characters of a stream that held-out text is read in,
_STREAMS = 64  # and the most streams side by side


@dataclass(frozen=True)
class CharModel:
    """A recurrent net and a readout whose output is the logits of the next character."""

    net: Net  # from one-hot characters to hidden states
    readout: Linear  # from hidden states to logits

    def init(self, seed: int, *, xp: Namespace) -> Tree:
        """Draw parameters in float32."""
        generator = np.random.default_rng(seed)
        return {
            "net": self.net.init(generator, xp=xp),
            "readout": self.readout.init(generator, xp=xp),
        }

    def loss_and_gradients(
        self,
        params: Tree,
        inputs: AnyArray,
        targets: AnyArray,
        state: Tree,
        *,
        xp: Namespace,
        seed: Seed = 0,
    ) -> tuple[AnyArray, Tree, Tree]:
        """Return the mean loss of a chunk, the gradients, and the state to carry on.

        What a net with dropout drops follows from `seed`.
        """
        dropping: dict[str, Any] = {"dropout_seed": seed} if self.net.dropout else {}
        x = self._one_hot(inputs, params, xp=xp)
        y, state, net_cache = self.net.forward(params["net"], x, state, **dropping)
        logits, readout_cache = self.readout.forward(params["readout"], y)
        loss, dlogits = softmax_cross_entropy(logits, targets)
        readout = self.readout.backward(readout_cache, dlogits)
        net = self.net.backward(net_cache, readout.x)
        return loss, {"net": net.params, "readout": readout.params}, state

    def read(
        self, params: Tree, ids: np.ndarray, state: Tree, *, xp: Namespace
    ) -> tuple[AnyArray, Tree]:
        """Return the logits after each of the characters `ids` (T, B), and the state."""
        inputs = xp.asarray(ids, dtype=xp.int32)
        x = self._one_hot(inputs, params, xp=xp)
        y, state = self.net.infer(params["net"], x, state)
        return self.readout.infer(params["readout"], y), state

    def bits_per_character(
        self,
        params: Tree,
        ids: np.ndarray,
        chunk: int,
        *,
        xp: Namespace,
        stop: Callable[[], bool] = lambda: False,
    ) -> float | None:
        """Return the mean cross-entropy, in bits, of each character after the first of `ids` (N,).

        The text is read in streams side by side, each from a state of zeros, `chunk` steps at a
        time; that makes the number slightly worse than reading it as one stream would. None where
        `stop`, which is asked before each `chunk`, said so.
        """
        inputs, targets, counts = _side_by_side(ids)
        total, state = 0.0, None
        for start in range(0, len(inputs), chunk):
            if stop():
                return None
            part = slice(start, start + chunk)
            logits, state = self.read(params, inputs[part], state, xp=xp)
            loss, _ = softmax_cross_entropy(
                logits, xp.asarray(targets[part], dtype=xp.int32), xp.asarray(counts[part])
            )
            total = total + loss * float(np.sum(counts[part]))
        return float(total) / (len(ids) - 1) / math.log(2)

    def _one_hot(self, ids: AnyArray, params: Tree, *, xp: Namespace) -> AnyArray:
        dtype = params["readout"].bias.dtype
        return one_hot(ids, self.net.input_size, dtype=dtype, xp=xp)


def build(settings: Settings, characters: int) -> CharModel:
    """Make the model of some settings for a vocabulary of so many characters."""
    sizes = (characters, settings.hidden, settings.layers)
    net = _NETS[settings.cell](*sizes, dropout=settings.dropout)
    return CharModel(net, Linear(settings.hidden, characters))


def one_hot(ids: AnyArray, size: int, *, dtype: Any, xp: Namespace) -> AnyArray:
    """Return an array (..., size) that is one where the number in `ids` (...) says, else zero."""
    return xp.astype(ids[..., None] == xp.arange(size, dtype=ids.dtype), dtype)


def _side_by_side(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, targets and which targets count, each (T, B), covering all of `ids` once."""
    count = len(ids) - 1
    streams = min(max(count // _STREAM, 1), _STREAMS)
    length = -(-count // streams)
    padding = streams * length - count
    padded = [np.pad(part, (0, padding)) for part in (ids[:-1], ids[1:], np.ones(count, bool))]
    inputs, targets, counts = (
        np.ascontiguousarray(part.reshape(streams, length).T) for part in padded
    )
    return inputs, targets, counts
