"""The targets by name: which graphs each one writes, with what, and how long they may be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Generic

from tandem_export.bundle import SavedModelFacts
from tandem_export.config import TandemConfig
from tandem_export.graphs import BuildOptions, Graph, plan_graphs, plan_rows
from tandem_export.targets.context import BuildContext, TargetOptions
from tandem_export.targets.onnx import build_onnx
from tandem_export.targets.savedmodel import SavedModelOptions, build_savedmodel
from tandem_export.targets.stablehlo.build import LIFETIME_DAYS, build_stablehlo


@dataclass(frozen=True, kw_only=True)
class Target(Generic[TargetOptions]):
    """One form of the graphs.

    Attributes:
      write: adds files and one record a graph to the context's writer; returns its record in
        the manifest's `TargetFacts`, or None.
      options: the class of its options; without arguments it makes the defaults.
      plan: which graphs it writes.
      lifetime: part -> days that it may be used; None is for ever.
      tools: distributions whose versions the manifest names.
    """

    write: Callable[[BuildContext[TargetOptions]], SavedModelFacts | None]
    options: type[TargetOptions]
    plan: Callable[[TandemConfig, BuildOptions], list[Graph]] = plan_graphs
    lifetime: Mapping[str, int | None] = field(default_factory=dict)
    tools: tuple[str, ...] = ()


# Of whatever options it takes.
AnyTarget = Target[Any]

TARGETS: dict[str, AnyTarget] = {
    "stablehlo": Target(write=build_stablehlo, options=NoneType, lifetime=LIFETIME_DAYS),
    "savedmodel": Target(
        write=build_savedmodel,
        options=SavedModelOptions,
        # Its modules are portable StableHLO artifacts.
        lifetime={"savedmodel": LIFETIME_DAYS["stablehlo"]},
        tools=("tensorflow-cpu", "orbax-export"),
    ),
    # Operator sets do not expire: engines run all earlier ones.
    "onnx": Target(
        write=build_onnx,
        options=NoneType,
        plan=plan_rows,
        lifetime={"onnx": None},
        tools=("onnx",),
    ),
}
