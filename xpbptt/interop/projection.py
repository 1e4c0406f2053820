"""The projection of torch.nn.LSTM with `proj_size`: one more matrix, without gates."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from xpbptt._arrays import check
from xpbptt._arrays.namespace import standard
from xpbptt.cells.projection import Projection
from xpbptt.cells.recurrence import Weights
from xpbptt.interop.arrangement import Layout, Sizes
from xpbptt.interop.tensors import convert

OWN = "weight_hr"


def with_projections(
    params: tuple[Any, ...],
    state_dict: Mapping[str, Any],
    sizes: Sizes,
    layout: Layout,
    *,
    xp: ModuleType | None,
    device: Any,
    prefix: str,
) -> tuple[Any, ...]:
    """Return the parameters with the ``weight_hr`` (P, H) of each layer and direction."""
    xp = standard(np if xp is None else xp)
    ways = layout.directions[: sizes.directions]
    keys = [[f"{prefix}{OWN}_l{k}{way}" for way in ways] for k in range(len(params))]
    missing = [key for layer in keys for key in layer if key not in state_dict]
    if missing:
        message = f"`state_dict` lacks {missing}: a projection has its `{OWN}` in every layer"
        raise ValueError(message)

    def projected(weights: Weights, key: str, hidden: int) -> Weights:
        name, tensor = f"state_dict[{key!r}]", state_dict[key]
        check.shape(name, tensor, (sizes.projected, hidden), "(P, H) of the other tensors")
        array = convert(name, tensor, xp=xp, device=device)
        beside = key.replace(OWN, "weight_ih")
        check.one_namespace([(f"state_dict[{beside!r}]", weights.weight_ih), (name, array)])
        return weights._replace(extra=Projection(array))

    found = [
        tuple(
            projected(weights, key, hidden)
            for weights, key in zip(entry if len(ways) > 1 else (entry,), layer, strict=True)
        )
        for entry, layer, hidden in zip(params, keys, sizes.hidden, strict=True)
    ]
    return tuple(found) if len(ways) > 1 else tuple(weights for (weights,) in found)
