"""What the SavedModel target lets a build choose."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tandem_export.errors import ConfigError
from tandem_export.values import is_whole

# TensorFlow -> the newest calling convention of jax.export and the newest StableHLO that it runs,
# found by running a model under each release: docs/how-to/tf-serving.md. 2.17 and earlier run none.
_RUNS = {"2.18": (9, (1, 8)), "2.19": (9, (1, 9)), "2.20": (10, (1, 13))}
CONVENTIONS = (9, 10)
# What TensorFlow calls the graphs in a version folder.
MODEL_FILE = "saved_model.pb"


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
            if not is_whole(getattr(self, name), 1):
                rule = f"`{name}` must be at least 1, a whole number"
                raise ConfigError(f"{rule}. Got: {getattr(self, name)!r}")
        if not (isinstance(self.model, str) and re.fullmatch(r"[A-Za-z0-9_.-]+", self.model)):
            rule = "`model` must be a name of letters, digits, `_`, `.` and `-`"
            raise ConfigError(f"{rule}. Got: {self.model!r}")
        if self.calling_convention not in CONVENTIONS:
            rule = f"`calling_convention` must be one of {list(CONVENTIONS)}"
            raise ConfigError(f"{rule}. Got: {self.calling_convention}")
        if not self._releases:
            newest = ".".join(map(str, max(version for _, version in _RUNS.values())))
            rule = f"`stablehlo_version` must be X.Y.Z, at most {newest}, which TensorFlow reads"
            raise ConfigError(f"{rule}. Got: {self.stablehlo_version!r}")

    @property
    def _releases(self) -> list[str]:
        """The TensorFlow releases that run such a model, oldest first."""
        text = self.stablehlo_version
        if not (isinstance(text, str) and re.fullmatch(r"\d{1,4}\.\d{1,4}\.\d{1,4}", text)):
            return []
        asked = tuple(map(int, self.stablehlo_version.split(".")[:2]))
        return [
            release
            for release, (convention, version) in _RUNS.items()
            if self.calling_convention <= convention and asked <= version
        ]

    @property
    def minimum_tensorflow(self) -> str:
        """The first TensorFlow that runs such a model."""
        return self._releases[0]

    @property
    def folder(self) -> str:
        """The version folder in a bundle."""
        return f"savedmodel/{self.version}"
