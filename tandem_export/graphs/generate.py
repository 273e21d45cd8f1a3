"""The whole SPEED loop as one stateless graph: prompts in, tokens out."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tandem_export.config import TandemConfig
from tandem_export.graphs.indexing import take_along_axis
from tandem_export.graphs.round import speed_round
from tandem_export.graphs.rules import STANDALONE
from tandem_export.graphs.spec import Arrays, BuildOptions, Shapes
from tandem_export.graphs.steps import prefill

STATISTICS = ("drafted", "accepted", "rounds", "stopped", "drafter_steps")


class Progress(NamedTuple):
    """What the loop carries: registers and caches, the output so far, per-row statistics."""

    state: Arrays
    tokens: Int[Array, "B A"]
    logprob: Float[Array, "B A"]
    written: Int[Array, " B"]
    statistics: Arrays


def generate(
    config: TandemConfig,
    options: BuildOptions,
    use_router: bool,
    cache: Shapes,
    params: Arrays,
    state: Arrays,
    inputs: Arrays,
) -> tuple[Arrays, Arrays]:
    """Graph `generate`: prompts `[B, S]` of `length [B]` tokens, answers of at most `max_new`.

    Beside the sampling inputs of a round it takes `max_new_tokens [B]` and `stop_tokens [B, E]` (-1
    is unused). A stop token ends the answer and is its last token. Outputs: `tokens [B, max_new]`
    (-1 past the count), `logprob`, `count [B]` and per-row statistics.
    """
    first = _start(config, options, cache, params, inputs)

    def step(now: Progress) -> Progress:
        gamma = options.gamma_of_generate
        active = now.state["budget"] > 0
        out, after = speed_round(config, options, gamma, use_router, params, now.state, inputs)
        keep, stopped = _until_stop(out["tokens"], out["count"], inputs["stop_tokens"])
        after = after | {"budget": jnp.where(stopped, 0, after["budget"])}
        return Progress(
            after,
            _append(now.tokens, out["tokens"], now.written, keep),
            _append(now.logprob, out["logprob"], now.written, keep),
            now.written + keep,
            _count(now.statistics, out, active, inputs["rule"]),
        )

    last = jax.lax.while_loop(lambda now: jnp.any(now.state["budget"] > 0), step, first)
    width = options.max_new
    place = jnp.arange(width, dtype=jnp.int32)[None, :]
    inside = place < last.written[:, None]
    outputs = {
        "tokens": jnp.where(inside, last.tokens[:, :width], -1),
        "logprob": jnp.where(inside, last.logprob[:, :width], 0.0),
        "count": last.written,
    }
    return outputs | last.statistics, state


def _start(
    config: TandemConfig, options: BuildOptions, cache: Shapes, params: Arrays, inputs: Arrays
) -> Progress:
    """Empty caches, the prompt prefilled (all but its last token matter), registers set."""
    prompt, length = inputs["tokens"], inputs["length"]
    B = length.shape[0]
    state = {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in cache.items()}
    block = {"tokens": prompt, "start": jnp.zeros((B,), jnp.int32)}
    _, state = prefill(config, options.prefill_attention, params, state, block)

    def at(place: Int[Array, " B"]) -> Int[Array, " B"]:
        return take_along_axis(prompt, jnp.maximum(place, 0)[:, None], 1)[:, 0]

    state |= {
        "position": length - 1,
        "last": at(length - 1),
        "previous": at(length - 2),
        "budget": jnp.minimum(inputs["max_new_tokens"], options.max_new),
    }
    room = options.max_new + options.gamma_of_generate + 1
    zeros = jnp.zeros((B,), jnp.int32)
    return Progress(
        state,
        jnp.full((B, room), -1, jnp.int32),
        jnp.zeros((B, room), jnp.float32),
        zeros,
        dict.fromkeys(STATISTICS, zeros),
    )


def _until_stop(
    tokens: Int[Array, "B W"], count: Int[Array, " B"], stop_tokens: Int[Array, "B E"]
) -> tuple[Int[Array, " B"], Bool[Array, " B"]]:
    """How many of a round's tokens count, the stop token included, and whether one was met."""
    place = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None, :]
    is_stop = jnp.any(tokens[:, :, None] == stop_tokens[:, None, :], -1)
    is_stop &= place < count[:, None]
    met = jnp.any(is_stop, 1)
    return jnp.where(met, jnp.argmax(is_stop, 1).astype(jnp.int32) + 1, count), met


def _append(whole: Array, new: Array, count: Int[Array, " B"], keep: Int[Array, " B"]) -> Array:
    """Writes each row's first `keep` new values at its own `count`."""
    W = new.shape[1]
    place = jnp.arange(W, dtype=jnp.int32)
    for b in range(whole.shape[0]):
        old = jax.lax.dynamic_slice(whole, (b, count[b]), (1, W))
        row = jnp.where((place < keep[b])[None, :], new[b : b + 1], old)
        whole = jax.lax.dynamic_update_slice(whole, row, (b, count[b]))
    return whole


def _count(
    statistics: Arrays, out: Arrays, active: Bool[Array, " B"], rule: Int[Array, " B"]
) -> Arrays:
    own = active.astype(jnp.int32)
    primarys_own = jnp.where(rule == STANDALONE, 0, 1)
    new = {
        "drafted": out["drafted"],
        "accepted": jnp.minimum(out["drafted"], jnp.maximum(out["count"] - primarys_own, 0)),
        "rounds": own,
        "stopped": out["stopped"],
        "drafter_steps": out["drafter_steps"] * own,
    }
    return {name: statistics[name] + new[name] for name in STATISTICS}
