"""What compiling one graph showed, and whether it is as it must be."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tandem_export.bundle import GraphRecord, TensorSpec
from tandem_export.jsontypes import JsonObject
from tandem_export.storage import numpy_dtype
from tandem_export.tpu.chips import Slice
from tandem_export.tpu.compile.roofline import cache_specs, least_bytes, spec_bytes
from tandem_export.tpu.schedule import array_key

ESTIMATE = "compiler estimate, uncalibrated"
# How far the bytes that a schedule moves may lie above the roofline.
ROOFLINE_SLACK = 0.03


@dataclass(frozen=True, kw_only=True)
class GraphReport:
    """One graph on one chip.

    Attributes:
      error: what the compiler said where it refused; the figures are then None.
      argument_bytes, temporary_bytes, peak_bytes: as the compiler reports them.
      cache_bytes, alias_bytes: of the graph's caches; what results take over in place.
      cache_copies: copies from HBM to HBM of the size of a layer's cache, in its dtype.
      hbm_bytes, hbm_bytes_sampling: that the schedule moves, with greedy and with sampled requests,
        and every draft made.
      roofline_bytes: weights and live cache once; None where the graph's length is not known.
      cycles, cycles_sampling: see `ESTIMATE`.
      collectives: kind -> count in one call.
      kernels, kernel_bytes: custom calls, which carry no estimate of cycles; the part of
        `hbm_bytes` that they move at most, were every row of the cache full.
      vmem_bytes: the chip's on-chip memory.
    """

    name: str
    role: str
    batch: int
    gamma: int | None
    width: int | None
    compile_seconds: float
    cached: bool
    error: str | None = None
    argument_bytes: int | None = None
    temporary_bytes: int | None = None
    peak_bytes: int | None = None
    cache_bytes: int = 0
    alias_bytes: int | None = None
    cache_copies: int | None = None
    hbm_bytes: int | None = None
    hbm_bytes_sampling: int | None = None
    prefetched_bytes: int | None = None
    roofline_bytes: int | None = None
    cycles: int | None = None
    cycles_sampling: int | None = None
    collectives: dict[str, int] = dataclasses.field(default_factory=dict)
    collective_bytes: int | None = None
    kernels: int | None = None
    kernel_bytes: int = 0
    vmem_bytes: int = 0

    @property
    def over_roofline(self) -> float | None:
        """Moved bytes over the roofline; 1.0 is the least."""
        if not self.roofline_bytes or self.hbm_bytes is None:
            return None
        return self.hbm_bytes / self.roofline_bytes

    @property
    def streams(self) -> bool:
        """Whether the graph's arrays are larger than on-chip memory.

        What fits there is copied in and written back whole, so the roofline says nothing of it.
        """
        return (self.argument_bytes or 0) > self.vmem_bytes

    @property
    def is_in_place(self) -> bool:
        """Whether the cache is updated where it is; False where the graph does not compile."""
        return self.alias_bytes is not None and self.alias_bytes >= self.cache_bytes

    @property
    def problems(self) -> list[str]:
        """What is not as it must be, in words."""
        if self.error is not None:
            return ["does not compile"]
        over = self.over_roofline if self.streams else None
        tests = {
            f"{self.cache_copies} copies of a cache": bool(self.cache_copies),
            "the cache is not updated in place": not self.is_in_place,
            f"moves {(over or 1) - 1:.1%} more than the roofline": over is not None
            and over > 1 + ROOFLINE_SLACK,
        }
        return [text for text, wrong in tests.items() if wrong]

    def seconds(self, target: Slice) -> float | None:
        """Estimates seconds: the larger of cycles and moved bytes, as a time; uncalibrated.

        Kernels, which have no cycles, add the time of the bytes that they move.
        """
        if self.cycles is None or self.hbm_bytes is None:
            return None
        busy = self.cycles / target.clock + self.kernel_bytes / target.bandwidth
        return max(busy, self.hbm_bytes / target.bandwidth)

    def to_dict(self) -> JsonObject:
        """Returns JSON values."""
        return dataclasses.asdict(self) | {
            "over_roofline": self.over_roofline,
            "problems": self.problems,
        }


def make_report(
    record: GraphRecord,
    answer: JsonObject,
    target: Slice,
    split: frozenset[str] = frozenset(),
) -> GraphReport:
    """Returns the report of a worker's `answer` on the graph `record`, of one chip of `target`.

    `split` names the parameters, caches and outputs of which a chip has its share only.
    """
    share = _share(record, target.chips, split)
    known = {f.name for f in dataclasses.fields(GraphReport)}
    caches = {_key(spec) for spec in cache_specs(share)}
    big = sum(count for array, count in answer.get("copies", {}).items() if array in caches)
    return GraphReport(
        name=record.name,
        role=record.role,
        batch=record.batch,
        gamma=record.gamma,
        width=record.width,
        cache_bytes=spec_bytes(cache_specs(share)),
        cache_copies=None if "error" in answer else big,
        roofline_bytes=least_bytes(share),
        vmem_bytes=target.vmem_bytes,
        **{name: value for name, value in answer.items() if name in known},
    )


def _key(spec: TensorSpec) -> str:
    return array_key(8 * numpy_dtype(spec.dtype).itemsize, spec_bytes([spec]))


def _share(record: GraphRecord, chips: int, split: frozenset[str]) -> GraphRecord:
    """Returns `record` with the shapes that one chip holds."""

    def shared(spec: TensorSpec) -> TensorSpec:
        if spec.name not in split:
            return spec
        # Caches are split by their heads; of a matrix any axis that divides gives the same bytes.
        dividing = (i for i, size in enumerate(spec.shape) if size % chips == 0)
        axis = 1 if len(spec.shape) == 4 else next(dividing)
        shape = tuple(n // chips if i == axis else n for i, n in enumerate(spec.shape))
        return dataclasses.replace(spec, shape=shape)

    parts = ("params", "state", "inputs", "outputs")
    parts_of_chip: JsonObject = {part: tuple(map(shared, getattr(record, part))) for part in parts}
    return dataclasses.replace(record, **parts_of_chip)
