"""Layer normalisation of blocks of units, forward and derivative.

::

    n_k = (a_k - mean(a)) / √(mean((a - mean(a))²) + ε)          (1)

with the means over the hidden units of all blocks a_k together, as over one vector (G·H,);
equations 3 and 4 of [1]_. ε is that of `torch.nn.LayerNorm`.

References
----------
.. [1] J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016, arXiv:1607.06450.
"""

from collections.abc import Sequence
from typing import Any

EPSILON = 1e-5

Blocks = tuple[Any, ...]


def normalised(blocks: Sequence[Any], *, xp: Any) -> tuple[Blocks, Any]:
    """Return the blocks (B, H) of equation (1), and what they were multiplied by (B, 1)."""
    mean = _mean(blocks, xp=xp)
    centred = [block - mean for block in blocks]
    scale = 1 / xp.sqrt(_mean([block * block for block in centred], xp=xp) + EPSILON)
    return tuple([block * scale for block in centred]), scale


def normalised_backward(normal: Sequence[Any], scale: Any, d: Sequence[Any], *, xp: Any) -> Blocks:
    """Return the gradients of the blocks, from those of the normalised ones."""
    mean = _mean(d, xp=xp)
    along = _mean([each * n for each, n in zip(d, normal, strict=True)], xp=xp)
    return tuple([(each - mean - n * along) * scale for each, n in zip(d, normal, strict=True)])


def _mean(blocks: Sequence[Any], *, xp: Any) -> Any:
    total = blocks[0]
    for block in blocks[1:]:
        total = total + block
    return xp.mean(total, axis=-1, keepdims=True) * (1 / len(blocks))
