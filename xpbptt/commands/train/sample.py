"""Sampling: the model writes, one character after the other."""

from collections.abc import Iterator

import numpy as np

from xpbptt._arrays.types import Namespace, Tree
from xpbptt.commands.base.errors import UserError
from xpbptt.commands.train.host import to_host
from xpbptt.commands.train.model import CharModel


def sample(
    model: CharModel,
    params: Tree,
    vocabulary: str,
    *,
    xp: Namespace,
    prompt: str = "",
    length: int = 500,
    temperature: float = 0.8,
    seed: int = 0,
    top_k: int | None = None,
) -> Iterator[str]:
    """Return an iterator over characters that the model finds likely to follow.

    Raises UserError if the prompt has characters that the model does not know; while characters are
    drawn, if the model's numbers overflow.
    """
    first = encode(prompt or ("\n" if "\n" in vocabulary else vocabulary[0]), vocabulary)
    generator = np.random.default_rng(seed)

    def write(ids: np.ndarray) -> Iterator[str]:
        state = None
        for _ in range(length):
            with np.errstate(over="ignore", invalid="ignore"):  # `_finite` looks at it
                logits, state = model.read(params, ids[:, None], state, xp=xp)
            number = draw(_finite(to_host(logits)[-1, 0]), temperature, generator, top_k)
            ids = np.asarray([number], dtype=np.int32)
            yield vocabulary[number]

    return write(first)


def encode(prompt: str, vocabulary: str) -> np.ndarray:
    """Return the numbers of the characters of `prompt`, (N,), int32."""
    unknown = sorted(set(prompt) - set(vocabulary))
    if unknown:
        message = f"--prompt has characters that the model has never seen: {''.join(unknown)!a}"
        raise UserError(message)
    numbers = {character: number for number, character in enumerate(vocabulary)}
    return np.asarray([numbers[character] for character in prompt], dtype=np.int32)


def _finite(logits: np.ndarray) -> np.ndarray:
    if not np.isfinite(logits).all():
        message = "the model cannot be sampled from: its weights are so large that they overflow"
        raise UserError(message)
    return logits


def draw(
    logits: np.ndarray,
    temperature: float,
    generator: np.random.Generator,
    top_k: int | None = None,
) -> int:
    """Return a number drawn from the softmax of the `top_k` largest of ``logits / temperature``."""
    if top_k is not None and top_k < len(logits):
        kept = np.argpartition(logits, -top_k)[-top_k:]
        only = np.full_like(logits, -np.inf)
        only[kept] = logits[kept]
        logits = only
    if temperature == 0:
        return int(np.argmax(logits))
    with np.errstate(over="ignore"):  # a tiny temperature: the unlikely gets -inf, rightly
        scaled = (logits - logits.max()).astype(np.float64) / temperature
    exponentials = np.exp(scaled)
    return int(generator.choice(len(logits), p=exponentials / exponentials.sum()))
