"""A net as a pure function for JAX: a scan over the cell, differentiated by our backward pass."""

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import Partial

from xpbptt._arrays import check
from xpbptt._arrays.types import Tree
from xpbptt.bptt import KeepAll, Strategy
from xpbptt.bridges.cache import split
from xpbptt.bridges.given import Given
from xpbptt.nets.net import Net, without_noise
from xpbptt.nets.stack import door, signature

Function = Callable[..., tuple[Any, Tree]]


def function(
    net: Net,
    *,
    bptt: Strategy = KeepAll(),  # noqa: B008 - immutable
) -> Function:
    """Return a net as a function for ``jax.jit``, ``jax.grad`` and ``jax.vmap``.

    Parameters
    ----------
    net : Net
        The net, of any cell whose functions JAX can trace.
    bptt : KeepAll, KeepStates, Segments, Binomial, Budget or Truncated
        How the backward pass pays for memory.

    Returns
    -------
    f : callable
        ``f(params, x, state=None, mask=None, *, dt=None, reset=None, initial=None,
        dropout_seed=None) → (y, state)``. The arguments and results are those of `Net.forward`, in
        arrays of JAX; `mask` and `reset` are constants, all other arrays have gradients. The loop
        over time is ``jax.lax.scan``, and its derivative in reverse mode is `Net.backward`.
        Without `dropout_seed` nothing is dropped; an array of JAX of one integer is taken for it,
        too, so that a compiled function drops other elements in each call.

    Raises
    ------
    TypeError
        Where `net` is no net or `bptt` no strategy. `f` raises what `Net.forward` does.

    Notes
    -----
    The backward pass is made of operations of JAX, so it can be differentiated again. Forward mode
    (``jax.jvp``, ``jax.jacfwd``) is refused by JAX for every function with a derivative of its own.

    In a training loop::

        f = xpbptt.bridges.jax.function(net)

        @jax.jit
        def loss_and_grads(params, x, target):
            def loss(params):
                y, _ = f(params, x)
                return jnp.mean((y - target) ** 2)

            return jax.value_and_grad(loss)(params)
    """
    if not isinstance(net, Net):
        message = f"`net` must be an xpbptt.Net, as xpbptt.LSTM(3, 5), got {type(net).__name__}"
        raise TypeError(message)
    door.check_strategy(bptt)
    dropping, plain = _differentiable(net, bptt), _differentiable(without_noise(net), bptt)

    def f(
        params: Tree,
        x: Any,
        state: Tree = None,
        mask: Any = None,
        *,
        dt: Any = None,
        reset: Any = None,
        initial: Tree = None,
        dropout_seed: Any = None,
    ) -> tuple[Any, Tree]:
        check.array_namespace("x", x)
        check.rank("x", x, "(T, B, I)")
        params, _ = check.conform("params", params, signature.parameters(net))
        expected = signature.states(net, x.shape[1])
        if state is not None:
            state, _ = check.conform("state", state, expected)
        if initial is not None:
            initial, _ = check.conform("initial", initial, expected)
        given = Given(state, dt, initial, mask, reset)
        if dropout_seed is None:
            return plain(params, x, given, None)
        if not isinstance(dropout_seed, jax.Array):
            dropout_seed = door.Door(net).key(dropout_seed)
        key = jax.numpy.asarray(dropout_seed, dtype=jax.numpy.int32)
        return dropping(params, x, given, key)

    return f


def _differentiable(net: Net, bptt: Strategy) -> Function:
    """Return ``params, x, given, key → y, state``, with the net's derivative."""

    def run(params: Tree, x: Any, given: Given, key: Any) -> tuple[Any, Tree]:
        if key is None:
            return net.infer(params, x, **given._asdict())
        y, final, _ = net.forward(params, x, **given._asdict(), bptt=bptt, dropout_seed=key)
        return y, final

    def forward(params: Tree, x: Any, given: Given, key: Any) -> tuple[Any, Any]:
        y, final, cache = net.forward(params, x, **given._asdict(), bptt=bptt, dropout_seed=key)
        arrays, frame = split(cache)
        return (y, final), (Partial(frame.filled, arrays), given.hollow)

    def backward(kept: Any, upstream: tuple[Any, Tree]) -> tuple[Any, ...]:
        cache, given = kept
        grads = net.backward(cache(), *upstream)
        return grads.params, grads.x, given.gradients(grads), None

    # Compiled also where the caller compiles nothing, so that the loop is always a scan.
    differentiable: Any = jax.custom_vjp(jax.jit(run))
    differentiable.defvjp(jax.jit(forward), jax.jit(backward))
    return differentiable  # type: ignore[no-any-return]
