"""Types what a manifest says besides its graphs: build options, facts of targets, tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class BuildRecord:
    """The options that a bundle was built with; `tandem_export.graphs.BuildOptions` explains each.

    A field that later releases added has here, as its default, what earlier ones did.
    """

    batch: tuple[int, ...]
    gamma: tuple[int, ...]
    prompt: tuple[int, ...]
    cache: int
    max_new: int
    generate_gamma: int | None = None
    dtype: Literal["float32", "bfloat16"]
    quantize: Literal["none", "int8"] = "none"
    attention: Literal["in_cache", "two_part", "kernel"]
    least_rows: Literal[1, 2] = 1
    lossless: Literal["exact", "numeric"]
    roles: tuple[str, ...] = ()
    platforms: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SavedModelFacts:
    """What a caller of the SavedModel has to know.

    Attributes:
      folder: the version folder in the bundle.
      model: the model's name on a server.
      version: the number of the version folder.
      slots: rows that callers can hold; slot number `slots` is the scratch slot.
      calling_convention_version: jax.export's.
      stablehlo_version: what the modules are written for.
      minimum_tensorflow: the first TensorFlow that runs it, such as `2.20`.
      tested_tensorflow: the TensorFlow that loaded it when it was built.
      default: the signature that is also `serving_default`; None without `generate`.
      signatures: names, sorted.
    """

    folder: str
    model: str
    version: int
    slots: int
    calling_convention_version: int
    stablehlo_version: str
    minimum_tensorflow: str
    tested_tensorflow: str
    default: str | None
    signatures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TargetFacts:
    """What targets say of their parts, by target; None is a target without a part, or facts."""

    savedmodel: SavedModelFacts | None = None


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What was found out about a finished bundle; None or empty is what nobody looked for.

    Attributes:
      compiler_options: platform -> graph -> options that its compiler is given.
      compile: the report of `tandem-export compile`, as its `--json` prints it: for people alone.
    """

    compiler_options: Mapping[str, Mapping[str, Mapping[str, str | bool]]] = field(
        default_factory=dict[str, Mapping[str, Mapping[str, str | bool]]]
    )
    compile: Mapping[str, Any] | None = None
