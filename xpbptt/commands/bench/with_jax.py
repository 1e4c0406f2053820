"""The same equations in JAX: ``lax.scan``, ``vjp`` and ``jit``; compiling is not timed."""

import os
from importlib import import_module
from typing import Any

import numpy as np

from xpbptt.commands.bench.contestant import Contestant, Values
from xpbptt.commands.bench.problem import Problem
from xpbptt.commands.bench.timing import host_clock


def make(problem: Problem) -> Contestant:
    """Return JAX, on the GPU where xpbptt computes there and JAX can."""
    jax = import_module("jax")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # else it takes most of a GPU
    jax.config.update("jax_enable_x64", val=True)  # without it there is no float64
    device = jax.devices()[0] if problem.on_gpu else jax.devices("cpu")[0]
    build = _stream if problem.case.streamed else _infer
    if problem.case.trained:
        build = _sequence
    run, values = build(jax, problem, device)
    where = f"jax {jax.__version__} on {device.platform}"
    return Contestant(run, values, host_clock(jax.block_until_ready), where)


def _forward(jax: Any, problem: Problem, device: Any) -> Any:
    """Return the forward pass, from the parameters and the input to the output and last state."""
    lax, jnp = jax.lax, jax.numpy
    step = _step(jax, problem.case.cell)
    T, B, H = problem.x.shape
    mask = None
    if problem.lengths is not None:
        mask = jax.device_put(np.arange(T)[:, None, None] < problem.lengths[None, :, None], device)

    def forward(params: Any, x: Any) -> Any:
        u = (x.reshape(T * B, -1) @ params.weight_ih.T + params.bias_ih).reshape(T, B, -1)
        W, b = params.weight_hh.T, params.bias_hh

        def advance(state: Any, inputs: Any) -> Any:
            u_t, mask_t = inputs
            new = step(u_t, state[0] @ W + b, state)
            if mask_t is None:
                return new, new[0]
            new = tuple(jnp.where(mask_t, a, b) for a, b in zip(new, state, strict=True))
            return new, jnp.where(mask_t, new[0], 0)

        zeros = jnp.zeros((B, H), x.dtype)
        final, y = lax.scan(advance, (zeros, zeros)[: _parts(problem)], (u, mask))
        return y, final

    return forward


def _sequence(jax: Any, problem: Problem, device: Any) -> Any:
    forward = _forward(jax, problem, device)
    (params,), x, dy = jax.device_put((problem.params, problem.x, problem.dy), device)

    def both(params: Any, x: Any, dy: Any) -> Any:
        y, pull, _ = jax.vjp(forward, params, x, has_aux=True)
        return y, pull(dy)

    compiled = jax.jit(both)

    def values(result: Any) -> Values:
        y, (dparams, dx) = result
        arrays = (y, dx, *dparams[:4])
        names = ("y", "dx", "dW_ih", "dW_hh", "db_ih", "db_hh")
        return {name: np.asarray(a) for name, a in zip(names, arrays, strict=True)}

    def run() -> Any:
        with jax.default_matmul_precision("highest"):  # the default of a GPU rounds the factors
            return compiled(params, x, dy)

    return run, values


def _infer(jax: Any, problem: Problem, device: Any) -> Any:
    compiled = jax.jit(_forward(jax, problem, device))
    (params,), x = jax.device_put((problem.params, problem.x), device)

    def run() -> Any:
        with jax.default_matmul_precision("highest"):
            return compiled(params, x)

    def values(result: Any) -> Values:
        y, state = result
        return {name: np.asarray(part) for name, part in zip("yhc", (y, *state), strict=False)}

    return run, values


def _stream(jax: Any, problem: Problem, device: Any) -> Any:
    step = _step(jax, problem.case.cell)
    (params,), x = jax.device_put((problem.params, problem.x), device)
    inputs = list(x)
    zeros = jax.numpy.zeros_like(inputs[0])

    def advance(params: Any, x_t: Any, state: Any) -> Any:
        u = x_t @ params.weight_ih.T + params.bias_ih
        return step(u, state[0] @ params.weight_hh.T + params.bias_hh, state)

    compiled = jax.jit(advance)

    def run() -> Any:
        state = (zeros, zeros)[: _parts(problem)]
        with jax.default_matmul_precision("highest"):
            for x_t in inputs:
                state = compiled(params, x_t, state)
        return state

    def values(state: Any) -> Values:
        return {name: np.asarray(part) for name, part in zip("hc", state, strict=False)}

    return run, values


def _parts(problem: Problem) -> int:
    return 2 if problem.case.cell == "lstm" else 1


def _step(jax: Any, cell: str) -> Any:
    """Return one step, from the products and the state to the new state."""
    jnp, sigmoid = jax.numpy, jax.nn.sigmoid

    def lstm(u: Any, v: Any, state: Any) -> Any:
        i, f, g, o = jnp.split(u + v, 4, axis=1)
        c = sigmoid(f) * state[1] + sigmoid(i) * jnp.tanh(g)
        return sigmoid(o) * jnp.tanh(c), c

    def gru(u: Any, v: Any, state: Any) -> Any:
        (u_r, u_z, u_n), (v_r, v_z, v_n) = (jnp.split(part, 3, axis=1) for part in (u, v))
        z = sigmoid(u_z + v_z)
        n = jnp.tanh(u_n + sigmoid(u_r + v_r) * v_n)
        return ((1 - z) * n + z * state[0],)

    def rnn(u: Any, v: Any, _: Any) -> Any:
        return (jnp.tanh(u + v),)

    return {"lstm": lstm, "gru": gru, "rnn": rnn}[cell]
