"""Adds up a scheduled module: HBM bytes, estimated cycles, copies, collectives.

A loop's body counts as often as it runs, which the compiler's own totals do not do. Sums are what
the schedule moves, not a time; `cycles` are the compiler's estimate and were never calibrated.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tandem_export.tpu.schedule.hlo import HBM, Computation, Instruction, Module
from tandem_export.tpu.schedule.moves import moved

Branch = Literal["least", "most"]
_FREE = (
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "partition-id",
    "replica-id",
    "iota",
)
_COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What a computation does in one run.

    Attributes:
      bytes: read from and written to HBM.
      prefetched: the part of `bytes` that asynchronous copies move beside the arithmetic.
      cycles: estimated, of the instructions that carry an estimate.
      copies: `array_key` -> count of copies from HBM to HBM.
      collectives: kind -> count.
      collective_bytes: results of the collectives.
      kernels, kernel_bytes: custom calls, which carry no estimate of cycles; the part of `bytes` of
        their operands and results, as if they read all of them.
      unknown_loops: loops whose number of runs is not in the text.
    """

    bytes: float = 0.0
    prefetched: float = 0.0
    cycles: float = 0.0
    copies: Counter[str] = field(default_factory=Counter)
    collectives: Counter[str] = field(default_factory=Counter)
    collective_bytes: float = 0.0
    kernels: float = 0.0
    kernel_bytes: float = 0.0
    unknown_loops: int = 0

    def plus(self, other: Totals, times: int = 1) -> Totals:
        """Returns these totals plus `times` times `other`."""
        values = {}
        for part in dataclasses.fields(self):
            mine, more = getattr(self, part.name), getattr(other, part.name)
            if isinstance(more, Counter):
                scaled = Counter({key: count * times for key, count in more.items()})
                values[part.name] = mine + scaled
            else:
                values[part.name] = mine + more * (1 if part.name == "unknown_loops" else times)
        return Totals(**values)


def walk(module: Module, *, loops: int, branch: Branch) -> Totals:
    """Returns the totals of one run of the entry computation.

    Args:
      module: scheduled, as the compiler prints it.
      loops: how often a loop runs whose count is not in the text, such as the draft loop.
      branch: which side of a conditional is taken, by its bytes and cycles: greedy requests take
        the least, sampled ones the most.
    """
    return _Walk(module, loops, branch).computation(module.entry)


@dataclass(frozen=True)
class _Walk:
    module: Module
    loops: int
    branch: Branch

    def computation(self, name: str) -> Totals:
        computation = self.module.computations[name]
        total = Totals()
        for instruction in computation.instructions.values():
            if not _is_free(instruction):
                total = total.plus(self.instruction(computation, instruction))
        return total

    def instruction(self, computation: Computation, instruction: Instruction) -> Totals:
        if instruction.op == "while":
            return self.loop(instruction)
        if instruction.op == "call":
            return self.computation(instruction.called[0])
        if instruction.op == "conditional":
            choose = min if self.branch == "least" else max
            sides = [self.computation(name) for name in instruction.called]
            return choose(sides, key=lambda side: (side.bytes, side.cycles))
        read, written = moved(self.module, computation, instruction)
        return _count(computation, instruction, read + written)

    def loop(self, instruction: Instruction) -> Totals:
        known = self.trips(instruction)
        body = instruction.attribute(r"body=%([\w.\-]+)")
        assert body is not None
        times = self.loops if known is None else known
        return Totals(unknown_loops=int(known is None)).plus(self.computation(body), times)

    def trips(self, instruction: Instruction) -> int | None:
        """Returns the compiler's own count, or the constant that the condition compares with.

        A loop that may end before is taken to run to its end.
        """
        known = instruction.attribute(r'"known_trip_count":\{"n":"(\d+)"')
        if known is not None:
            return int(known)
        condition = self.module.computations[instruction.attribute(r"condition=%([\w.\-]+)") or ""]
        names, root = condition.instructions, condition.root
        tests = [names[name] for name in root.operands] if root.op == "and" else [root]
        limits = [_limit(names, test) for test in tests]
        return next((limit for limit in limits if limit is not None), None)


def _limit(names: Mapping[str, Instruction], test: Instruction) -> int | None:
    """Returns the constant that `test` asks a counter to be less than."""
    if test.op != "compare" or "direction=LT" not in test.attributes:
        return None
    limit = names.get(test.operands[1])
    return int(limit.arguments) if limit is not None and limit.op == "constant" else None


def _is_free(instruction: Instruction) -> bool:
    """Returns whether it moves nothing: a view, bare memory, the end of what its start counted."""
    bare = instruction.attribute(r'custom_call_target="(AllocateBuffer)"') is not None
    return bare or instruction.op in _FREE or instruction.op.endswith("-done")


def _count(computation: Computation, instruction: Instruction, size: float) -> Totals:
    op = instruction.op
    kind = next((kind for kind in _COLLECTIVES if op.startswith(kind)), None)
    is_kernel = op == "custom-call" and "tpu_custom_call" in instruction.attributes
    return Totals(
        bytes=size,
        prefetched=size if op.endswith("-start") and kind is None else 0.0,
        cycles=float(instruction.cycles),
        copies=_copy(computation, instruction),
        collectives=Counter({kind: 1} if kind else {}),
        collective_bytes=instruction.size() if kind else 0.0,
        kernels=float(is_kernel),
        kernel_bytes=size * is_kernel,
    )


def array_key(bits: int, size: float) -> str:
    """Elements of so many bits, so many bytes: what tells a cache from another array, any shape."""
    return f"{bits}x{int(size)}"


def _copy(computation: Computation, instruction: Instruction) -> Counter[str]:
    """Returns a copy or transposition whose source and result both lie in HBM."""
    named = re.match(r"(copy|transpose)", instruction.name)
    if instruction.op not in ("copy", "transpose", "copy-start") and not (
        instruction.op == "fusion" and named
    ):
        return Counter()
    source = computation.instructions[instruction.operands[0]]
    result = instruction.arrays[0]
    inside = source.arrays[0].space == HBM and result.space == HBM
    return Counter({array_key(result.bits, result.bytes): 1} if inside else {})
