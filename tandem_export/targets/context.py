"""Holds what a build hands to each of its targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from tandem_export.bundle import BundleWriter, TensorPlace
from tandem_export.config import TandemConfig
from tandem_export.graphs import BuildOptions, Graph
from tandem_export.progress import Progress, silent

# The record of what one target lets a build choose; None for a target without choices.
TargetOptions = TypeVar("TargetOptions")


@dataclass(frozen=True, kw_only=True)
class BuildContext(Generic[TargetOptions]):
    """Everything that a target's `write` receives; it asks no shape and no name for more.

    Attributes:
      config: the pair.
      options: the buckets of the bundle, and how its graphs compute.
      graphs: what this target writes, in order; their `outputs` are filled.
      tensors: bundle name -> weight, read-only views of the bundle's one weight file.
      places: bundle name -> where that weight lies in the file.
      writer: of the bundle; the weights are written already.
      progress: what hears of each graph; see `report`.
      check_values: whether each graph is run beside its function; else `difference` is None.
      target_options: this target's own record of options.
    """

    config: TandemConfig
    options: BuildOptions
    graphs: tuple[Graph, ...]
    tensors: Mapping[str, np.ndarray]
    places: Mapping[str, TensorPlace]
    writer: BundleWriter
    progress: Progress = silent
    check_values: bool = True
    target_options: TargetOptions

    def report(self, finished: int, name: str) -> None:
        """Tells `progress` that `finished` graphs are done, the last of them `name`."""
        self.progress(finished, len(self.graphs), name)
