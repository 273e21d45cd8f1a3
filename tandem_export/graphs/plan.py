"""The graphs of a build: roles x buckets, each with its function and shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from tandem_export.config import TandemConfig
from tandem_export.graphs import rows, steps
from tandem_export.graphs.cache import cache_shapes
from tandem_export.graphs.generate import generate
from tandem_export.graphs.narrow import narrowed
from tandem_export.graphs.round import speed_round
from tandem_export.graphs.spec import BuildOptions, Graph, GraphFunction, Shapes
from tandem_export.model import PARTS, abstract, has_part, quantized_shapes

MAX_STOP_TOKENS = 8


def _leaf(shape: tuple[int, ...], dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def param_shapes(config: TandemConfig, dtype: Any, quantize: str = "none") -> Shapes:
    """Every parameter of the pair under its bundle name, `part.tensor`; ids stay int32."""
    return {
        f"{part}.{name}": _leaf(leaf.shape, dtype if leaf.dtype == jnp.float32 else leaf.dtype)
        for part in PARTS
        if has_part(config, part)
        for name, leaf in _stored(config, part, quantize).items()
    }


def _stored(config: TandemConfig, part: str, quantize: str) -> Shapes:
    own = abstract(config, part)
    return quantized_shapes(own) if quantize == "int8" and part != "router" else own


def state_shapes(config: TandemConfig, options: BuildOptions, batch: int) -> Shapes:
    """Caches and registers of `batch` rows."""
    registers = {name: _leaf((batch,)) for name in steps.REGISTERS}
    return _caches(config, batch, options.cache, jnp.dtype(options.dtype)) | registers


def _caches(config: TandemConfig, batch: int, length: int, dtype: Any) -> Shapes:
    caches = cache_shapes("primary", config.primary, batch, length, dtype)
    return caches | cache_shapes("drafter", config.drafter, batch, length, dtype)


def sampling_shapes(batch: int, use_router: bool) -> Shapes:
    """The per-row inputs of a round."""
    tau = {"tau": _leaf((batch,), jnp.float32)} if use_router else {}
    return tau | {
        "temperature": _leaf((batch,), jnp.float32),
        "top_k": _leaf((batch,)),
        "top_p": _leaf((batch,), jnp.float32),
        "min_p": _leaf((batch,), jnp.float32),
        "seed": _leaf((batch, 2), jnp.uint32),
        "rule": _leaf((batch,)),
        "max_draft": _leaf((batch,)),
    }


def plan_graphs(config: TandemConfig, options: BuildOptions) -> list[Graph]:
    """Every graph that `options` ask for, parameters and state narrowed to what each one uses."""
    made = [graph for graph in _candidates(config, options) if graph.role in options.roles]
    return [narrowed(graph) for graph in made]


def plan_rows(config: TandemConfig, options: BuildOptions) -> list[Graph]:
    """The single steps that `options` ask for in the `rows` contract, prefill among them."""
    steps_only = [graph for graph in _candidates(config, options) if graph.role in rows.ROLES]
    made = [graph for graph in steps_only if graph.role in options.roles]
    return [narrowed(_in_rows(config, options, graph)) for graph in made]


def _in_rows(config: TandemConfig, options: BuildOptions, graph: Graph) -> Graph:
    caches = _caches(config, graph.batch, options.cache, jnp.float32)
    return dataclasses.replace(
        graph,
        parity="P1",
        function=partial(getattr(rows, graph.role), config),
        state=caches if graph.state else {},
    )


def _candidates(config: TandemConfig, options: BuildOptions) -> Iterator[Graph]:
    for width in options.prompt:
        yield _graph(config, options, "prefill", 1, width=width)
    for batch in options.batch:
        yield _graph(config, options, "insert", batch)
        for width in sorted({1, *(gamma + 1 for gamma in options.gamma)}):
            yield _graph(config, options, "primary_block", batch, width=width)
        for width in (1,) if config.is_tandem else (1, 2):
            yield _graph(config, options, "drafter_step", batch, width=width)
        for gamma in (0, *options.gamma):
            yield _graph(config, options, "round", batch, gamma=gamma, width=gamma + 1)
        if config.router is not None:
            yield _graph(config, options, "router", batch)
            for gamma in options.gamma:
                yield _graph(config, options, "round_router", batch, gamma=gamma, width=gamma + 1)
        for width in options.prompt:
            if width + options.max_new + options.gamma_of_generate <= options.cache:
                gamma = options.gamma_of_generate
                yield _graph(config, options, "generate", batch, gamma=gamma, width=width)


def _graph(
    config: TandemConfig,
    options: BuildOptions,
    role: Any,
    batch: int,
    *,
    gamma: int | None = None,
    width: int | None = None,
) -> Graph:
    stateless = role in ("router", "generate")
    return Graph(
        name=_name(role, batch, gamma, width),
        role=role,
        batch=batch,
        gamma=gamma,
        width=width,
        parity=options.parity,
        function=_function(config, options, role, batch, gamma),
        params=param_shapes(config, jnp.dtype(options.dtype), options.quantize),
        state={} if stateless else state_shapes(config, options, batch),
        inputs=_inputs(config, options, role, batch, width),
    )


def _name(role: str, batch: int, gamma: int | None, width: int | None) -> str:
    if role.startswith("round"):
        return f"{role}_b{batch}_g{gamma}"
    if role == "generate":
        return f"{role}_b{batch}_s{width}"
    return f"{role}_b{batch}" + ("" if width is None else f"_t{width}")


def _function(
    config: TandemConfig, options: BuildOptions, role: str, batch: int, gamma: int | None
) -> GraphFunction:
    if role == "prefill":
        return partial(steps.prefill, config, options.prefill_attention)
    if role == "primary_block":
        return partial(steps.primary_block, config, options)
    if role == "drafter_step":
        return partial(steps.drafter_step, config, options)
    if role == "router":
        return partial(steps.router, config)
    if role == "insert":
        return steps.insert
    if role == "generate":
        cache = state_shapes(config, options, batch)
        return partial(generate, config, options, config.router is not None, cache)
    assert gamma is not None
    return partial(speed_round, config, options, gamma, role == "round_router")


def _inputs(
    config: TandemConfig, options: BuildOptions, role: str, batch: int, width: int | None
) -> Shapes:
    if role == "insert":
        prefix = state_shapes(config, options, 1)
        return {f"prefix.{name}": leaf for name, leaf in prefix.items()} | {"slot": _leaf(())}
    if role == "router":
        return {"logits": _leaf((batch, config.primary.vocab_size), jnp.float32)}
    if role in ("prefill", "primary_block", "drafter_step"):
        assert width is not None
        return {"tokens": _leaf((batch, width)), "start": _leaf((batch,))}
    if role == "generate":
        assert width is not None
        return sampling_shapes(batch, config.router is not None) | {
            "tokens": _leaf((batch, width)),
            "length": _leaf((batch,)),
            "max_new_tokens": _leaf((batch,)),
            "stop_tokens": _leaf((batch, MAX_STOP_TOKENS)),
        }
    return sampling_shapes(batch, role == "round_router")
