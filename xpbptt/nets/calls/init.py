"""Parameters of a net, drawn from a seed."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from xpbptt._arrays.draw import generator, placed
from xpbptt._arrays.namespace import standard
from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import Seed, StateT, TraceT, WeightsT
from xpbptt.nets.calls.base import Base
from xpbptt.nets.stack.initial import Draw, Rules, draw


class Init(Base[WeightsT, StateT, TraceT]):
    """A net that draws its parameters."""

    def init(
        self,
        seed: Seed = 0,
        *,
        xp: ModuleType | None = None,
        dtype: Any = None,
        device: Any = None,
        forget_bias: float | None = None,
        recurrent: str | Draw | None = None,
        input: str | Draw | None = None,  # noqa: A002 - what it is of
        parameters: Mapping[str, Draw] | None = None,
    ) -> tuple[WeightsT, ...]:
        """Draw parameters from U(-1/√H, 1/√H), as PyTorch does, or by other rules.

        Parameters
        ----------
        seed : int, SeedSequence or numpy.random.Generator
            Where the numbers come from. They are drawn on the host in float64, so the same seed
            gives the same weights, rounded to `dtype`, on every library.
        xp : namespace, optional
            The array library: ``numpy``, ``cupy``, ``torch``, ``jax.numpy`` or any other of the
            standard. Default: NumPy.
        dtype : dtype or str, optional
            A real floating-point dtype of that library, or its name. Default: float32.
        device : device, optional
            Where to put the arrays. Default: the library's default.
        forget_bias : float, optional
            The bias of the forget gate f, the sum of `bias_ih` and `bias_hh`; 1.0 lets an LSTM
            remember from the start [1]_.
        recurrent, input : {"orthogonal", "glorot"} or callable, optional
            How W_hh and W_ih are drawn, each gate's block by itself, of W_hh each head's, too. A
            callable takes a ``numpy.random.Generator`` and a shape, and returns the numbers.
        parameters : dict of str to callable, optional
            The same for whole parameters by their names, as ``{"bias_ih": f}`` or ``"extra.decay"``
            of a cell's own, in every layer and direction.

        Returns
        -------
        params : tree of arrays
            The parameters. A rule changes no number of a parameter that it is not of.

        Raises
        ------
        TypeError, ValueError
            Where a rule is none, or is of a parameter or gate that the net lacks.

        References
        ----------
        .. [1] R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent
           network architectures", ICML 2015.

        Examples
        --------
        >>> import xpbptt
        >>> params = xpbptt.LSTM(12, 64).init(seed=0, forget_bias=1.0, recurrent="orthogonal")
        >>> params[0].weight_ih.shape
        (256, 12)
        >>> float(params[0].bias_ih[64:128].min())
        1.0
        """
        namespace = standard(np if xp is None else xp)
        rules = Rules(forget_bias, recurrent, input, parameters)
        numbers = draw(self, generator(seed), rules)
        params: tuple[WeightsT, ...] = map_leaves(
            lambda leaf: placed(leaf, xp=namespace, dtype=dtype, device=device), numbers
        )
        return params
