"""Reads the configuration of a pair from a TOML or JSON file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from tandem_export.config import TandemConfig, default_layer_map, from_dict
from tandem_export.errors import ConfigError


def read_config(path: Path) -> TandemConfig:
    """Returns the pair that a file describes.

    Args:
      path: a `.toml` or `.json` file whose tables are those of `TandemConfig` (`primary`,
        `drafter`, `router`), or a checkpoint's `tandem.json`, of which `config` is read. A tandem
        pair without `layer_map` gets the evenly spaced one.

    Raises:
      ConfigError: no such file, neither TOML nor JSON, or a config that breaks a rule.
    """
    if not path.is_file():
        raise ConfigError(f"the configuration must be a TOML or JSON file. Got: no file {path}")
    return parse_config(path.read_bytes(), path.name, is_json=path.suffix == ".json")


def parse_config(data: bytes, where: str, *, is_json: bool = False) -> TandemConfig:
    """Returns the pair that the text of such a file describes; `where` names it in errors.

    Raises:
      ConfigError: as `read_config`.
    """
    try:
        text = data.decode("utf-8")
        values = json.loads(text) if is_json else tomllib.loads(text)
    except ValueError as error:  # of the encoding, JSON or TOML
        kind = "JSON" if is_json else "TOML"
        raise ConfigError(f"`{where}` must be {kind}. Got: {error}") from error
    if isinstance(values, dict) and isinstance(values.get("config"), dict):
        values = values["config"]
    return from_dict(_with_layer_map(values), where)


def _with_layer_map(values: Any) -> Any:
    if not isinstance(values, dict) or values.get("kind", "tandem") != "tandem":
        return values
    if "layer_map" in values:
        return values
    try:
        depths = (values["primary"]["num_layers"], values["drafter"]["num_layers"])
        return values | {"layer_map": default_layer_map(*depths)}
    except (KeyError, TypeError, ZeroDivisionError):
        return values  # the config's own check says what is missing
