"""Drafting: up to G drafter steps in one loop that ends when no row wants more."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tandem_export.config import TandemConfig
from tandem_export.graphs.random import TOKEN, gumbel
from tandem_export.graphs.rules import STANDALONE
from tandem_export.graphs.sampling import choose, processed_log_probs
from tandem_export.graphs.spec import Arrays, BuildOptions
from tandem_export.graphs.steps import predict_acceptance, run_drafter


class Draft(NamedTuple):
    """What the loop carries, and at its end the draft.

    Attributes:
      step: [] int32, drafter runs so far.
      limit: `[B]` int32, how many tokens the row drafts; the router lowers it.
      stopped: `[B]` int32, 1 where the router ended the draft.
      tokens: `[B, G]` int32.
      log_q: `[G, B, V]` float32, what each draft was drawn from; not written where every row is
        greedy.
      state: caches and registers.
    """

    step: Int[Array, ""]
    limit: Int[Array, " B"]
    stopped: Int[Array, " B"]
    tokens: Int[Array, "B G"]
    log_q: Float[Array, "G B V"]
    state: Arrays


def draft(
    config: TandemConfig,
    options: BuildOptions,
    gamma: int,
    use_router: bool,
    params: Arrays,
    state: Arrays,
    sampling: Arrays,
) -> Draft:
    """Drafts at most `gamma` tokens per row after its `last` token.

    A row drafts at most `max_draft` tokens and never more than its budget can commit.
    """
    budget, last = state["budget"], state["last"]
    reserve = jnp.where(sampling["rule"] == STANDALONE, 0, 1)
    limit = jnp.clip(jnp.minimum(sampling["max_draft"], budget - reserve), 0, gamma)
    B, V = last.shape[0], config.primary.vocab_size
    start = Draft(
        step=jnp.int32(0),
        limit=limit,
        stopped=jnp.zeros((B,), jnp.int32),
        tokens=jnp.zeros((B, gamma), jnp.int32),
        log_q=jax.lax.empty((gamma, B, V), jnp.float32),
        state=state,
    )

    def advance(now: Draft, window: Int[Array, "B T"]) -> Draft:
        newest = state["position"] + now.step
        at = jnp.maximum(newest - (window.shape[1] - 1), 0)
        form, least = options.attention, options.least_rows
        logits, after = run_drafter(
            config, form, params, now.state, window, at, newest - at, least=least
        )
        now = _add_token(now._replace(state=after), logits, sampling)
        return _consult_router(config, params, now, logits, sampling) if use_router else now

    def token_before(now: Draft) -> Int[Array, "B 1"]:
        previous = jax.lax.dynamic_slice_in_dim(now.tokens, jnp.maximum(now.step - 1, 0), 1, 1)
        return jnp.where(now.step == 0, last[:, None], previous)

    if not config.is_tandem:
        start = advance(start, _catch_up_window(state))
    return jax.lax.while_loop(
        lambda now: now.step < jnp.max(now.limit),
        lambda now: advance(now, token_before(now)),
        start,
    )


def _catch_up_window(state: Arrays) -> Int[Array, "B 2"]:
    """`previous` and `last`: an independent drafter has not seen its last accepted draft yet.

    At position 0 there is no token before `last`; the window then starts at it, and the row that
    its second place writes is overwritten by the next step.
    """
    first = jnp.where(state["position"] > 0, state["previous"], state["last"])
    return jnp.stack([first, state["last"]], 1)


def _add_token(now: Draft, logits: Float[Array, "B V"], sampling: Arrays) -> Draft:
    """Draws the draft of this step and keeps what it was drawn from."""
    greedy = jnp.argmax(logits, -1).astype(jnp.int32)

    def sampled(log_q: Array) -> tuple[Array, Array]:
        own = processed_log_probs(logits, sampling)
        index = now.state["position"] + now.step + 1
        drawn = choose(own, gumbel(sampling["seed"], index, TOKEN, logits.shape[-1]))
        token = jnp.where(sampling["temperature"] > 0, drawn, greedy)
        return token, jax.lax.dynamic_update_index_in_dim(log_q, own, now.step, 0)

    hot = jnp.any(sampling["temperature"] > 0)
    token, log_q = jax.lax.cond(hot, sampled, lambda log_q: (greedy, log_q), now.log_q)
    tokens = jax.lax.dynamic_update_slice_in_dim(now.tokens, token[:, None], now.step, 1)
    return now._replace(step=now.step + 1, tokens=tokens, log_q=log_q)


def _consult_router(
    config: TandemConfig, params: Arrays, now: Draft, logits: Array, sampling: Arrays
) -> Draft:
    """Ends the draft of rows whose newest token is likely rejected: draft on while a >= tau."""
    predicted = predict_acceptance(config, params, logits)
    stop = (predicted < sampling["tau"]) & (now.step < now.limit)
    limit = jnp.where(stop, now.step, now.limit)
    return now._replace(limit=limit, stopped=now.stopped | stop.astype(jnp.int32))
