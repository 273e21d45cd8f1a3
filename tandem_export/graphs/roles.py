"""Describes each role of a graph in one record: its buckets, inputs, state and function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp

from tandem_export.config import TandemConfig
from tandem_export.contract import Role, prefix_name
from tandem_export.graphs.generate import generate
from tandem_export.graphs.graph import Arrays, GraphFunction, Shapes
from tandem_export.graphs.options import BuildOptions
from tandem_export.graphs.program import GenerateProgram, RoundProgram, StepProgram
from tandem_export.graphs.round import round_graph
from tandem_export.graphs.shapes import leaf, sampling_shapes, state_shapes
from tandem_export.graphs.steps import in_place, rows

MAX_STOP_TOKENS = 8


@dataclass(frozen=True, kw_only=True)
class Build:
    """What every graph of a build depends on."""

    config: TandemConfig
    options: BuildOptions

    @property
    def steps(self) -> StepProgram:
        """How blocks run."""
        options = self.options
        return StepProgram(
            config=self.config, attention=options.attention, least_rows=options.least_rows
        )

    @property
    def prefill(self) -> StepProgram:
        """How prompts run."""
        return StepProgram(config=self.config, attention=self.options.prefill_attention)

    def round(self, gamma: int, *, use_router: bool) -> RoundProgram:
        """Returns the program of rounds with at most `gamma` drafts."""
        widths = self.options.widths(gamma)
        return RoundProgram(steps=self.steps, gamma=gamma, widths=widths, use_router=use_router)

    def generate(self, batch: int) -> GenerateProgram:
        """Returns the program of whole generations of `batch` rows."""
        rounds = self.round(
            self.options.gamma_of_generate, use_router=self.config.router is not None
        )
        state = state_shapes(self.config, self.options, batch)
        max_new = self.options.max_new
        return GenerateProgram(round=rounds, prefill=self.prefill, max_new=max_new, state=state)


class Bucket(NamedTuple):
    """The sizes of one graph; see `Graph`."""

    batch: int
    gamma: int | None = None
    width: int | None = None


@dataclass(frozen=True, kw_only=True)
class RoleRecord:
    """One role: a new role is a new record.

    Attributes:
      buckets: the graphs of this role for one batch bucket; those of `prefill` have batch 1.
      inputs: shapes and dtypes of its inputs.
      function: the graph function.
      has_state: whether it takes caches and registers.
      rows: its function in the `rows` contract, None if it has no place there.
    """

    buckets: Callable[[Build, int], Iterator[Bucket]]
    inputs: Callable[[Build, Bucket], Shapes]
    function: Callable[[Build, Bucket], GraphFunction]
    has_state: bool = True
    rows: Callable[..., tuple[Arrays, Arrays]] | None = None


def _block_inputs(_: Build, bucket: Bucket) -> Shapes:
    assert bucket.width is not None
    return {"tokens": leaf((bucket.batch, bucket.width)), "start": leaf((bucket.batch,))}


def _insert_inputs(build: Build, _: Bucket) -> Shapes:
    row = state_shapes(build.config, build.options, 1)
    return {prefix_name(name): x for name, x in row.items()} | {"slot": leaf(())}


def _router_inputs(build: Build, bucket: Bucket) -> Shapes:
    return {"logits": leaf((bucket.batch, build.config.primary.vocab_size), jnp.float32)}


def _generate_inputs(build: Build, bucket: Bucket) -> Shapes:
    batch, width = bucket.batch, bucket.width
    assert width is not None
    return sampling_shapes(batch, router=build.config.router is not None) | {
        "tokens": leaf((batch, width)),
        "length": leaf((batch,)),
        "max_new_tokens": leaf((batch,)),
        "stop_tokens": leaf((batch, MAX_STOP_TOKENS)),
    }


def _prefill_buckets(build: Build, batch: int) -> Iterator[Bucket]:
    if batch == build.options.batch[0]:  # once a build: a prompt is prefilled in a row of its own
        yield from (Bucket(1, width=width) for width in build.options.prompt)


def _primary_buckets(build: Build, batch: int) -> Iterator[Bucket]:
    for width in sorted({1, *(gamma + 1 for gamma in build.options.gamma)}):
        yield Bucket(batch, width=width)


def _drafter_buckets(build: Build, batch: int) -> Iterator[Bucket]:
    # An independent drafter also catches up on its last accepted draft, two tokens at once.
    for width in (1,) if build.config.is_tandem else (1, 2):
        yield Bucket(batch, width=width)


def _round_buckets(build: Build, batch: int) -> Iterator[Bucket]:
    yield from (Bucket(batch, gamma, gamma + 1) for gamma in (0, *build.options.gamma))


def _routed_buckets(build: Build, batch: int) -> Iterator[Bucket]:
    if build.config.router is not None:
        yield from (Bucket(batch, gamma, gamma + 1) for gamma in build.options.gamma)


def _router_buckets(build: Build, batch: int) -> Iterator[Bucket]:
    if build.config.router is not None:
        yield Bucket(batch)


def _generate_buckets(build: Build, batch: int) -> Iterator[Bucket]:
    options = build.options
    for width in options.prompt:
        if options.room_of_generate(width) <= options.cache:
            yield Bucket(batch, options.gamma_of_generate, width)


def _round_function(use_router: bool, build: Build, bucket: Bucket) -> GraphFunction:
    assert bucket.gamma is not None
    return partial(round_graph, build.round(bucket.gamma, use_router=use_router))


ROLE_RECORDS: dict[Role, RoleRecord] = {
    "prefill": RoleRecord(
        buckets=_prefill_buckets,
        inputs=_block_inputs,
        function=lambda build, _: partial(in_place.prefill, build.prefill),
        rows=rows.prefill,
    ),
    "insert": RoleRecord(
        buckets=lambda _, batch: iter([Bucket(batch)]),
        inputs=_insert_inputs,
        function=lambda _build, _bucket: in_place.insert,
    ),
    "primary_block": RoleRecord(
        buckets=_primary_buckets,
        inputs=_block_inputs,
        function=lambda build, _: partial(in_place.primary_block, build.steps),
        rows=rows.primary_block,
    ),
    "drafter_step": RoleRecord(
        buckets=_drafter_buckets,
        inputs=_block_inputs,
        function=lambda build, _: partial(in_place.drafter_step, build.steps),
        rows=rows.drafter_step,
    ),
    "router": RoleRecord(
        buckets=_router_buckets,
        inputs=_router_inputs,
        function=lambda build, _: partial(in_place.router, build.config),
        has_state=False,
        rows=rows.router,
    ),
    "round": RoleRecord(
        buckets=_round_buckets,
        inputs=lambda _, bucket: sampling_shapes(bucket.batch, router=False),
        function=partial(_round_function, False),
    ),
    "round_router": RoleRecord(
        buckets=_routed_buckets,
        inputs=lambda _, bucket: sampling_shapes(bucket.batch, router=True),
        function=partial(_round_function, True),
    ),
    "generate": RoleRecord(
        buckets=_generate_buckets,
        inputs=_generate_inputs,
        function=lambda build, bucket: partial(generate, build.generate(bucket.batch)),
        has_state=False,
    ),
}
