"""One small graph with a parameter, a cache, a register and an input, and ways to break it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tandem_export.bundle import BundleWriter, locate_weights
from tandem_export.bundle.weights import map_weights
from tandem_export.graphs import BuildOptions, Graph
from tandem_export.progress import Progress, silent
from tandem_export.targets import BuildContext
from tests.tiny import TANDEM


def leaf(shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def step(params: Any, state: Any, inputs: Any) -> Any:
    """Looks tokens up, writes them into the cache at `position`, moves on."""
    rows = params["primary.table"][inputs["tokens"]]
    cache = jax.lax.dynamic_update_slice(
        state["cache"], rows[:, None], (0, state["position"][0], 0)
    )
    return {"sum": jnp.sum(cache, 1) * 1.5}, {"cache": cache, "position": state["position"] + 1}


TOY = Graph(
    name="toy_b2_t1",
    role="primary_block",
    batch=2,
    width=1,
    parity="P0",
    function=step,
    params={"primary.table": leaf((5, 3))},
    state={"cache": leaf((2, 8, 3)), "position": leaf((2,), jnp.int32)},
    inputs={"tokens": leaf((2,), jnp.int32)},
    outputs={"sum": leaf((2, 3))},
)


def with_state(**changes: Any) -> Graph:
    """The toy, whose returned state is changed by `name=function(state)`; None drops a name."""

    def function(params: Any, state: Any, inputs: Any) -> Any:
        outputs, after = step(params, state, inputs)
        made = {name: change(after) for name, change in changes.items() if change is not None}
        kept = {name: value for name, value in after.items() if name not in changes}
        return outputs, kept | made

    return dataclasses.replace(TOY, function=function)


def context(
    graphs: Sequence[Graph],
    writer: BundleWriter,
    progress: Progress = silent,
    *,
    platforms: tuple[str, ...] = ("cpu", "tpu"),
    check_values: bool = True,
) -> BuildContext[None]:
    """What a build of `graphs` hands to a target; the pair and its buckets are any."""
    return BuildContext(
        config=TANDEM,
        options=BuildOptions(platforms=platforms),
        graphs=tuple(graphs),
        tensors=map_weights(writer.weights),
        places=locate_weights(writer.weights),
        writer=writer,
        progress=progress,
        check_values=check_values,
        target_options=None,
    )


def with_function(function: Any, **changes: Any) -> Graph:
    return dataclasses.replace(TOY, function=function, **changes)
