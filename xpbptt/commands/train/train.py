"""Training: truncated backpropagation through time, the state carried from chunk to chunk."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.commands.train.model import CharModel
from xpbptt.commands.train.settings import Settings
from xpbptt.optim import AdamState, Optimizer, adam, clip_by_global_norm

MAX_NORM = 1.0
PROBE = 4  # time steps of `Trainer.probe`


class TrainState(NamedTuple):
    """Everything that the next step follows from, beside the settings and the text."""

    params: Tree  # the parameters
    moments: AdamState  # the state of the optimiser; it also counts the steps taken
    state: Tree  # the net's state after the last chunk; None at the start of the text
    position: int  # where in each stream the next chunk starts
    # The norm of the gradients of the last step before it was clipped; not stored.
    norm: AnyArray = None

    def convert(self, convert: Callable[[Tree], Tree]) -> "TrainState":
        """Return the same with every tree of arrays converted, as by `to_host`."""
        step, mean, square = self.moments
        moments = AdamState(step, convert(mean), convert(square))
        return TrainState(convert(self.params), moments, convert(self.state), self.position)


@dataclass(frozen=True)
class Trainer:
    """The training step for a model and its text."""

    model: CharModel  # the model
    settings: Settings  # the settings; the sizes of the model among them
    streams: np.ndarray  # the numbers of the characters to train on, on the host
    xp: Namespace  # the library to train on
    # How several processes compute the gradients of a batch together: see `Ranks.gradients`.
    together: Callable[..., Any] | None = None

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser, which keeps nothing itself."""
        return adam(self.settings.learning_rate)

    def rate(self, step: int) -> float:
        """Return the learning rate after so many steps."""
        halve = self.settings.halve
        return self.settings.learning_rate * (0.5 ** (step / halve) if halve else 1.0)

    def start(self) -> TrainState:
        """Return the state before the first step."""
        params = self.model.init(self.settings.seed, xp=self.xp)
        return TrainState(params, self.optimizer.init(params), state=None, position=0)

    def step(self, before: TrainState) -> tuple[TrainState, AnyArray]:
        """Read one chunk and update the parameters."""
        params, moments, state, position, _ = before
        settings, rate = self.settings, self.rate(moments.step)
        chunk = settings.chunk
        if position + chunk >= len(self.streams):  # the end of the text: start again
            position, state = 0, None
        window = np.ascontiguousarray(self.streams[position : position + chunk + 1], np.int32)
        ids = self.xp.asarray(window, dtype=self.xp.int32)
        gradients = partial(self.model.loss_and_gradients, xp=self.xp)
        if self.together is not None:
            gradients = partial(self.together, gradients)
        loss, grads, state = gradients(
            params, ids[:-1, :], ids[1:, :], state, seed=(settings.seed, moments.step)
        )
        grads, norm = clip_by_global_norm(grads, MAX_NORM)
        if settings.weight_decay:
            keep = 1 - rate * settings.weight_decay
            params = map_leaves(lambda p: p * keep if len(p.shape) > 1 else p, params)
        params, moments = adam(rate).update(grads, moments, params)
        return TrainState(params, moments, state, position + chunk, norm), loss

    def probe(self, before: TrainState) -> None:
        """Do the passes of a few time steps and forget the result: something to time."""
        window = self.streams[: min(self.settings.chunk, PROBE) + 1]
        ids = self.xp.asarray(np.ascontiguousarray(window, np.int32), dtype=self.xp.int32)
        self.model.loss_and_gradients(before.params, ids[:-1, :], ids[1:, :], None, xp=self.xp)
