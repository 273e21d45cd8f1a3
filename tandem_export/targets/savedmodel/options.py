"""What the SavedModel target lets a build choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tandem_export.errors import ConfigError

# jax.export's calling convention -> the first TensorFlow that runs it, by the dates at which
# XlaCallModule learned it (https://docs.jax.dev/en/latest/export/export.html).
FIRST_TENSORFLOW = {9: "2.16", 10: "2.20"}


@dataclass(frozen=True, kw_only=True)
class SavedModelOptions:
    """Options of the SavedModel target.

    Attributes:
      version: name of the version folder; a server loads the highest one.
      model: the model's name in `models.config`.
      slots: how many rows callers can hold at once; each takes one row of both caches.
      calling_convention: jax.export's, 9 for TensorFlow before 2.20.
      stablehlo_version: what the modules are written for. TensorFlow reads none above its own.
    """

    version: int = 1
    model: str = "tandem"
    slots: int = 8
    calling_convention: int = 10
    stablehlo_version: str = "1.1.0"

    def __post_init__(self) -> None:
        for name in ("version", "slots"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must be at least 1. Got: {getattr(self, name)}")
        if self.calling_convention not in FIRST_TENSORFLOW:
            rule = f"`calling_convention` must be one of {sorted(FIRST_TENSORFLOW)}"
            raise ConfigError(f"{rule}. Got: {self.calling_convention}")

    @property
    def minimum_tensorflow(self) -> str:
        """The first TensorFlow that knows the calling convention."""
        return FIRST_TENSORFLOW[self.calling_convention]

    @property
    def folder(self) -> str:
        """The version folder in a bundle."""
        return f"savedmodel/{self.version}"

    def facts(self) -> dict[str, Any]:
        """What the manifest says of the SavedModel."""
        return {
            "folder": self.folder,
            "model": self.model,
            "version": self.version,
            "slots": self.slots,
            "calling_convention_version": self.calling_convention,
            "stablehlo_version": self.stablehlo_version,
            "minimum_tensorflow": self.minimum_tensorflow,
        }
