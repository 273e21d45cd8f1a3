"""Describes what is static in a graph's functions: the pair, and how its steps and rounds run."""

from __future__ import annotations

from dataclasses import dataclass

from tandem_export.config import TandemConfig
from tandem_export.graphs.graph import Shapes
from tandem_export.graphs.options import AttentionForm


@dataclass(frozen=True, kw_only=True)
class StepProgram:
    """What is static in the single steps of a pair.

    Attributes:
      config: of the pair.
      attention: how a block attends over its cache.
      least_rows: minimum number of rows in a matmul with weights, see `BuildOptions`.
    """

    config: TandemConfig
    attention: AttentionForm
    least_rows: int = 1


@dataclass(frozen=True, kw_only=True)
class RoundProgram:
    """What is static in a round.

    Attributes:
      steps: the pair, and how its single steps run.
      gamma: the longest draft G; 0 is the primary alone at width 1.
      widths: the verification widths that a round may choose from, increasing; the last is G + 1.
      use_router: whether the router may end a draft early.
    """

    steps: StepProgram
    gamma: int
    widths: tuple[int, ...]
    use_router: bool = False


@dataclass(frozen=True, kw_only=True)
class GenerateProgram:
    """What is static in a whole generation.

    Attributes:
      round: its rounds.
      prefill: how the prompt is processed.
      max_new: the longest answer, tokens.
      state: shapes and dtypes of the caches and registers that it starts from.
    """

    round: RoundProgram
    prefill: StepProgram
    max_new: int
    state: Shapes
