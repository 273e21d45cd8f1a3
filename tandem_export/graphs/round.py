"""One SPEED round as one graph: draft, verify, accept, advance."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from tandem_export.config import TandemConfig
from tandem_export.graphs.acceptance import Accepted, accept
from tandem_export.graphs.draft import Draft, draft
from tandem_export.graphs.indexing import take_along_axis
from tandem_export.graphs.judgement import Block, judge
from tandem_export.graphs.place import Judgement
from tandem_export.graphs.spec import Arrays, BuildOptions
from tandem_export.graphs.steps import primary_logits, run_primary


def speed_round(
    config: TandemConfig,
    options: BuildOptions,
    gamma: int,
    use_router: bool,
    params: Arrays,
    state: Arrays,
    inputs: Arrays,
) -> tuple[Arrays, Arrays]:
    """Graphs `round` and `round_router`; with gamma 0, the primary alone at width 1.

    Inputs and outputs are listed in docs/architecture.md. Every row has its own position, budget
    and sampling parameters; idle rows (budget 0) commit nothing.
    """
    if gamma == 0:
        drafted = _no_draft(config, state)
    else:
        drafted = draft(config, options, gamma, use_router, params, state, inputs)
    judged, state = verify(config, options, gamma, params, drafted, inputs)
    idle = state["budget"] <= 0
    done = accept(judged, inputs["rule"], idle=idle)
    outputs = {
        "tokens": done.tokens,
        "count": done.committed,
        "logprob": done.logprob,
        "drafted": drafted.limit,
        "stopped": drafted.stopped,
        "drafter_steps": drafted.step,
    }
    return outputs, advance(state, done)


def _no_draft(config: TandemConfig, state: Arrays) -> Draft:
    """An empty draft; one unused place of `log_q` keeps the shapes of `judge` simple."""
    B, V = state["last"].shape[0], config.primary.vocab_size
    zeros = jnp.zeros((B,), jnp.int32)
    return Draft(
        jnp.int32(0),
        zeros,
        zeros,
        zeros[:, None][:, :0],
        jax.lax.empty((1, B, V), jnp.float32),
        state,
    )


def verify(
    config: TandemConfig,
    options: BuildOptions,
    gamma: int,
    params: Arrays,
    drafted: Draft,
    sampling: Arrays,
) -> tuple[Judgement, Arrays]:
    """Runs the primary over `last` and the drafts, and judges them.

    One width, gamma + 1, for every round, or (lossless = numeric) the smallest of the build's
    widths that holds the longest draft; places past it are padded and never accepted.
    """
    state = drafted.state
    tokens = jnp.concatenate([state["last"][:, None], drafted.tokens], 1)

    def at_width(width: int, state: Arrays) -> tuple[Judgement, Arrays]:
        own, start = tokens[:, :width], state["position"]
        form, least = options.attention, options.least_rows
        x, state = run_primary(config, form, params, state, own, start, least=least)
        block = _block(drafted, width, start)
        judged = judge(lambda: primary_logits(config, params, x, own), block, sampling)
        missing = ((0, 0), (0, gamma + 1 - width))
        return jax.tree.map(lambda value: jnp.pad(value, missing), judged), state

    widths = options.widths(gamma)
    if len(widths) == 1:
        return at_width(widths[0], state)
    choice = jnp.sum(jnp.max(drafted.limit) + 1 > jnp.array(widths, jnp.int32))
    return jax.lax.switch(choice, [lambda s, w=w: at_width(w, s) for w in widths], state)


def _block(drafted: Draft, width: int, start: Int[Array, " B"]) -> Block:
    """The first `width` places, the first input token of which is at `start`."""
    drafts = drafted.tokens[:, : width - 1]
    positions = start[:, None] + 1 + jnp.arange(width, dtype=jnp.int32)[None, :]
    return Block(drafts, drafted.limit, drafted.log_q, positions)


def advance(state: Arrays, done: Accepted) -> Arrays:
    """Moves the registers past the committed tokens."""
    count = done.committed

    def token_at(place: Int[Array, " B"]) -> Int[Array, " B"]:
        return take_along_axis(done.tokens, jnp.maximum(place, 0)[:, None], 1)[:, 0]

    one_back = jnp.where(count > 1, token_at(count - 2), state["last"])
    return state | {
        "position": state["position"] + count,
        "last": jnp.where(count > 0, token_at(count - 1), state["last"]),
        "previous": jnp.where(count > 0, one_back, state["previous"]),
        "budget": state["budget"] - count,
    }
