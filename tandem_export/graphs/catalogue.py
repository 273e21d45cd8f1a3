"""Plans the graphs of a build: every role at every bucket."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial

import jax.numpy as jnp

from tandem_export.config import TandemConfig
from tandem_export.contract import Role, graph_name
from tandem_export.graphs.graph import Graph
from tandem_export.graphs.narrow import narrowed
from tandem_export.graphs.options import BuildOptions
from tandem_export.graphs.roles import ROLE_RECORDS, Bucket, Build
from tandem_export.graphs.shapes import caches, param_shapes, state_shapes


def plan_graphs(config: TandemConfig, options: BuildOptions) -> list[Graph]:
    """Returns every graph that `options` ask for, narrowed to the arrays that each one uses."""
    build = Build(config=config, options=options)
    return [
        narrowed(_graph(build, role, bucket))
        for role, bucket in _graphs_of(build)
        if role in options.wanted_roles
    ]


def plan_rows(config: TandemConfig, options: BuildOptions) -> list[Graph]:
    """Returns the single steps that `options` ask for in the `rows` contract, prefill included."""
    build = Build(config=config, options=options)
    return [
        narrowed(_graph_in_rows(build, role, bucket))
        for role, bucket in _graphs_of(build)
        if role in options.wanted_roles and ROLE_RECORDS[role].rows is not None
    ]


def _graphs_of(build: Build) -> Iterator[tuple[Role, Bucket]]:
    for batch in build.options.batch:
        for role, record in ROLE_RECORDS.items():
            for bucket in record.buckets(build, batch):
                yield role, bucket


def _graph(build: Build, role: Role, bucket: Bucket) -> Graph:
    record, options = ROLE_RECORDS[role], build.options
    return Graph(
        name=graph_name(role, **bucket._asdict()),
        role=role,
        batch=bucket.batch,
        gamma=bucket.gamma,
        width=bucket.width,
        parity=options.parity,
        function=record.function(build, bucket),
        params=param_shapes(build.config, jnp.dtype(options.dtype), options.quantize),
        state=state_shapes(build.config, options, bucket.batch) if record.has_state else {},
        inputs=record.inputs(build, bucket),
    )


def _graph_in_rows(build: Build, role: Role, bucket: Bucket) -> Graph:
    graph, record = _graph(build, role, bucket), ROLE_RECORDS[role]
    assert record.rows is not None
    state = caches(build.config, bucket.batch, build.options.cache, jnp.float32)
    return dataclasses.replace(
        graph,
        parity="P1",
        function=partial(record.rows, build.config),
        state=state if record.has_state else {},
    )
