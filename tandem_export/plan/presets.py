"""Pairs without weights: the presets, and any TOML file of the same form."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from tandem_export.config import TandemConfig, default_layer_map, from_dict
from tandem_export.errors import ConfigError

PRESETS = ("270m", "2b", "8b")


def read_pair(source: str) -> TandemConfig:
    """The pair that `source` names: a preset, a TOML file of configs, or a checkpoint.

    The tables of a TOML file are those of `TandemConfig`: `primary`, `drafter`, `router`; a tandem
    pair without `layer_map` gets the evenly spaced one.

    Raises:
      ConfigError: no such file, not TOML, or a config that breaks a rule.
      CheckpointError: a checkpoint that cannot be read.
    """
    if source in PRESETS:
        file = resources.files("tandem_export.plan").joinpath(f"presets/{source}.toml")
        return _parse(file.read_text("utf-8"), source)
    if source.endswith(".toml"):
        return _parse(_text(Path(source)), source)
    from tandem_export.checkpoint import read_checkpoint

    return read_checkpoint(source).config


def _text(path: Path) -> str:
    if not path.is_file():
        rule = f"a preset ({', '.join(PRESETS)}), a TOML file or a checkpoint"
        raise ConfigError(f"the pair must be {rule}. Got: no file {str(path)!r}")
    return path.read_text("utf-8")


def _parse(text: str, where: str) -> TandemConfig:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"`{where}` must be TOML. Got: {error}") from error
    return from_dict(_with_layer_map(values), where)


def _with_layer_map(values: dict[str, Any]) -> dict[str, Any]:
    if values.get("kind", "tandem") != "tandem" or "layer_map" in values:
        return values
    try:
        depths = (values["primary"]["num_layers"], values["drafter"]["num_layers"])
    except (KeyError, TypeError):
        return values  # the config's own check says what is missing
    return values | {"layer_map": default_layer_map(*depths)}
