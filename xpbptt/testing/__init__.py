"""Checks of hand-written derivatives, for this library's nets and for anybody's own.

`check_gradients` compares a backward pass with the derivative of its forward pass,
`check_causality` sees the one kind of mistake that no gradient can show, a layer that reads its
sequence in the wrong direction, and `laws` holds what every recurrent net must obey.
"""

from xpbptt.testing import laws
from xpbptt.testing.checks.causality import check_causality
from xpbptt.testing.checks.gradients import GradientCheck, check_gradients
from xpbptt.testing.checks.layer import Differentiable, GradientError

__all__ = [
    "Differentiable",
    "GradientCheck",
    "GradientError",
    "check_causality",
    "check_gradients",
    "laws",
]
