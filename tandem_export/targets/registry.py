"""The targets by name: which graphs each one writes, with what, and how long they may be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tandem_export.config import TandemConfig
from tandem_export.graphs import BuildOptions, Graph, plan_graphs, plan_rows
from tandem_export.targets.onnx import build_onnx
from tandem_export.targets.savedmodel import build_savedmodel
from tandem_export.targets.stablehlo.build import LIFETIME_DAYS, build_stablehlo


@dataclass(frozen=True, kw_only=True)
class Target:
    """One form of the graphs.

    Attributes:
      write: (graphs, writer, platforms, progress, *, check_values) -> facts for the manifest, if
        there are any.
      plan: which graphs it writes.
      lifetime: part -> days that it may be used; None is for ever.
      tools: distributions whose versions the manifest names.
    """

    write: Callable[..., dict[str, Any] | None]
    plan: Callable[[TandemConfig, BuildOptions], list[Graph]] = plan_graphs
    lifetime: Mapping[str, int | None] = field(default_factory=dict)
    tools: tuple[str, ...] = ()


TARGETS = {
    "stablehlo": Target(write=build_stablehlo, lifetime=LIFETIME_DAYS),
    "savedmodel": Target(
        write=build_savedmodel,
        # Its modules are portable StableHLO artifacts.
        lifetime={"savedmodel": LIFETIME_DAYS["stablehlo"]},
        tools=("tensorflow-cpu", "orbax-export"),
    ),
    # Operator sets do not expire: engines run all earlier ones.
    "onnx": Target(write=build_onnx, plan=plan_rows, lifetime={"onnx": None}, tools=("onnx",)),
}
