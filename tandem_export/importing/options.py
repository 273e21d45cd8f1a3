"""What a person may ask of an import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

from tandem_export.errors import ConfigError

_OF_PARTS = ("drafter", "drafter_layers", "drafter_vocabulary", "tandem", "layer_map")
DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What to make a checkpoint from.

    Attributes:
      primary: a Hugging Face folder, a GGUF file or a checkpoint; or a whole pair: an Orbax folder,
        or with `config` a file of tensors (see `read_arrays`).
      drafter: a Hugging Face folder, a GGUF file or a checkpoint; None with `drafter_layers` or a
        whole pair.
      drafter_layers: make the drafter of these layers of the primary instead.
      drafter_vocabulary: a JSON list of the primary's ids that the drafter keeps.
      tandem: safetensors with projections, and perhaps router and `vocabulary.rows`. Without it the
        pair is an independent one.
      layer_map: of the projections; evenly spaced by default.
      tau: the router's default threshold.
      config: of a whole pair: its configuration, TOML or JSON.
      map_file: of a whole pair in a file: TOML that says what its tensors are called.
      tokenizer: a folder with other tokenizer files than the primary's, or a `tokenizer.json`.
      chat_template: a jinja file in place of the one that came with the primary.
      end_tokens: ids or texts of tokens that end a text, besides those that came with the primary.
      dtype: of all weights; None keeps what they have.

    Raises:
      ConfigError: an unknown dtype, or options that exclude each other.
    """

    primary: str
    drafter: str | None = None
    drafter_layers: tuple[int, ...] = ()
    drafter_vocabulary: Path | None = None
    tandem: Path | None = None
    layer_map: tuple[int, ...] = ()
    tau: float = 0.8
    config: Path | None = None
    map_file: Path | None = None
    tokenizer: Path | None = None
    chat_template: Path | None = None
    end_tokens: tuple[str, ...] = ()
    dtype: str | None = None

    def __post_init__(self) -> None:
        if self.dtype not in (None, *DTYPES):
            raise ConfigError(f"`dtype` must be one of {sorted(DTYPES)}. Got: {self.dtype!r}")
        if self.drafter is not None and self.drafter_layers:
            raise ConfigError("`drafter` and `drafter_layers` exclude each other. Got: both")
        if self.layer_map and self.tandem is None:
            raise ConfigError(
                "`layer_map` needs `tandem`, the file with the projections that it maps. "
                "Got: no `tandem`"
            )
        if self.map_file is not None and self.config is None:
            raise ConfigError(
                "`map_file` names the tensors of a pair, whose `config` is needed too. "
                "Got: no `config`"
            )
        parts = [name for name in _OF_PARTS if getattr(self, name)]
        if self.config is not None and parts:
            raise ConfigError(
                f"`config` describes a whole pair, so `{parts[0]}` must not be given. Got: both"
            )
