"""A primary block that loops over its layers, beside the one that lists them, by the TPU compiler.

python -m experiments.layer_scan 2b --batch 4 --width 6 compiles three programs for one v5e chip:

* `unrolled`: the block as it is built, every layer's weights and caches an array of its own;
* `scan`: a loop over weights and caches that come stacked, `[L, ...]`: another graph contract;
* `scan, stacked inside`: the same loop under today's contract, which must stack them first.

The pair is taken as independent, so that all three are the primary alone. No TPU is needed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import click
import jax
import jax.numpy as jnp

from tandem_export.cli.output import make_table, print_tables, size
from tandem_export.config import DecoderConfig, TandemConfig
from tandem_export.graphs import Arrays, BuildOptions, Graph, plan_graphs
from tandem_export.graphs.steps.cache import block_positions, two_part
from tandem_export.model import bind
from tandem_export.targets import export_graph
from tandem_export.tpu.chips import slice_named
from tandem_export.tpu.compile import compile_options
from tandem_export.tpu.compile.report import GraphReport
from tandem_export.tpu.compile.run import CompileJob, compile_jobs
from tandem_export.tpu.environment import run_without_chips
from tandem_export.tpu.plan import read_pair

# What every layer has one of: `primary.layers.3.ff.up.weight`, `primary_k.03`.
_ONE = re.compile(r"(primary\.layers|primary_[kv])\.(\d+)(.*)")


def alone(config: DecoderConfig) -> TandemConfig:
    """A pair whose graphs of the primary are the primary alone.

    Raises:
      ValueError: some layers have a window: they are no copies of one another.
    """
    if config.sliding_window is not None:
        raise ValueError("a scan needs layers of one kind. Got: some with a sliding window")
    return TandemConfig(primary=config, drafter=config, kind="independent")


def unrolled_block(config: TandemConfig, batch: int, width: int, cache: int, dtype: Any) -> Graph:
    """The `primary_block` of the project in its `two_part` form."""
    options = BuildOptions(
        batch=(batch,),
        gamma=(max(width - 1, 1),),
        prompt=(2,),
        cache=cache,
        dtype=dtype,
        attention="two_part",
        roles=("primary_block",),
    )
    return next(graph for graph in plan_graphs(config, options) if graph.width == width)


def stacked(arrays: dict[str, Any], stack: Callable[[list[Any]], Any]) -> dict[str, Any]:
    """Parameters or state with what every layer has one of as one array, `[L, ...]`."""
    made: dict[str, Any] = {}
    layers: dict[str, dict[int, Any]] = {}
    for name, array in arrays.items():
        found = _ONE.fullmatch(name)
        if found is None:
            made[name] = array
        else:
            layers.setdefault(found[1] + found[3], {})[int(found[2])] = array
    return made | {n: stack([own[j] for j in range(len(own))]) for n, own in layers.items()}


def _leaf(leaves: list[jax.ShapeDtypeStruct]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((len(leaves), *leaves[0].shape), leaves[0].dtype)


def scanned(config: TandemConfig, params: Arrays, state: Arrays, inputs: Arrays):
    """The block with a loop over stacked layers: `(outputs, state)`."""
    tokens, start = inputs["tokens"], inputs["start"]
    one = alone(dataclasses.replace(config.primary, num_layers=1))
    whole = {n.removeprefix("primary."): x for n, x in params.items() if ".layers." not in n}
    layers = {n.removeprefix("primary.layers."): x for n, x in params.items() if ".layers." in n}

    def decoder(own: Arrays) -> Any:
        return bind(one, "primary", whole | {f"layers.0.{name}": x for name, x in own.items()})

    def layer(x: jax.Array, now: tuple[Arrays, jax.Array, jax.Array]):
        own, k, v = now
        see = two_part(one.primary, [(k, v)], start, tokens.shape[1])
        return decoder(own).layers[0](x, block_positions(start, tokens.shape[1]), see)

    first = decoder({name: x[0] for name, x in layers.items()})
    caches = state["primary_k"], state["primary_v"]
    x, rows = jax.lax.scan(layer, first.embed(tokens), (layers, *caches))
    logits = first.logits(x).reshape(*tokens.shape, -1)
    keys, values = (_write(c, own, start) for c, own in zip(caches, rows, strict=True))
    return {"logits": logits}, {"primary_k": keys, "primary_v": values}


def _write(cache: jax.Array, rows: jax.Array, start: jax.Array) -> jax.Array:
    """Rows `[L, B, K, T, H]` of all layers into the stacked cache, each batch row at its place."""
    for b in range(cache.shape[1]):
        own = rows[:, b : b + 1].astype(cache.dtype)
        cache = jax.lax.dynamic_update_slice(cache, own, (0, b, 0, start[b], 0))
    return cache


def programs(
    config: TandemConfig, batch: int, width: int, cache: int, dtype: str = "bfloat16"
) -> dict[str, Graph]:
    """The three programs by name."""
    plain = unrolled_block(config, batch, width, cache, dtype)
    params, state = stacked(plain.params, _leaf), stacked(plain.state, _leaf)

    def over_stacks(params: Arrays, state: Arrays, inputs: Arrays):
        return scanned(config, params, state, inputs)

    def stack_first(params: Arrays, state: Arrays, inputs: Arrays):
        outputs, after = scanned(
            config, stacked(params, jnp.stack), stacked(state, jnp.stack), inputs
        )
        each = range(config.primary.num_layers)
        return outputs, {f"{name}.{j:02}": after[name][j] for name in after for j in each}

    scan = dataclasses.replace(plain, function=over_stacks, params=params, state=state)
    inside = dataclasses.replace(plain, function=stack_first)
    return {"unrolled": plain, "scan": scan, "scan, stacked inside": inside}


@click.command()
@click.argument("pair")
@click.option("--batch", default=4, show_default=True)
@click.option("--width", default=6, show_default=True)
@click.option("--cache", default=2048, show_default=True)
def main(pair: str, batch: int, width: int, cache: int) -> None:
    """Compiles the programs for PAIR, a preset or a TOML file, and prints what they cost."""
    run_without_chips()
    named = programs(alone(read_pair(pair).primary), batch, width, cache)
    made = [export_graph(graph, "tpu", check_values=False) for graph in named.values()]
    jobs = [CompileJob(record=own.record, export=own.artifact.jax_export) for own in made]
    reports = compile_jobs(jobs, compile_options(slice_named("v5e")))
    rows = [[name, *_figures(report)] for name, report in zip(named, reports, strict=True)]
    columns = (
        "program",
        ">moves",
        ">prefetched",
        ">temporaries",
        ">cycles ms",
        ">estimated ms",
        ">seconds",
    )
    print_tables(make_table(f"{pair}, batch {batch}, width {width}", columns, rows))


def _figures(report: GraphReport) -> list[str]:
    target, facts = slice_named("v5e"), report.to_dict()
    if report.error is not None:
        return [report.error.splitlines()[0]]
    return [
        *(size(facts[name]) for name in ("hbm_bytes", "prefetched_bytes", "temporary_bytes")),
        f"{facts['cycles'] / target.clock * 1e3:.3f}",
        f"{(report.seconds(target) or 0) * 1e3:.3f}",
        f"{report.compile_seconds:.1f}",
    ]


if __name__ == "__main__":
    main()
