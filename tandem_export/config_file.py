"""Reads the configuration of a pair from a TOML or JSON file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tandem_export.config import TandemConfig, default_layer_map, from_dict
from tandem_export.errors import ConfigError
from tandem_export.jsontypes import Json
from tandem_export.storage import JSON_LIMIT, parse_json, read_bytes


def read_config(path: Path) -> TandemConfig:
    """Returns the pair that a file describes.

    Args:
      path: a `.toml` or `.json` file whose tables are those of `TandemConfig` (`primary`,
        `drafter`, `router`), or a checkpoint's `tandem.json`, of which `config` is read. A tandem
        pair without `layer_map` gets the evenly spaced one.

    Raises:
      ConfigError: no such file, neither TOML nor JSON, or a config that breaks a rule.
    """
    data = read_bytes(path, limit=JSON_LIMIT, error=ConfigError)
    return parse_config(data, path.name, is_json=path.suffix == ".json")


def parse_config(data: bytes, where: str, *, is_json: bool = False) -> TandemConfig:
    """Returns the pair that the text of such a file describes; `where` names it in errors.

    Raises:
      ConfigError: as `read_config`.
    """
    values = _parsed(data, where, is_json=is_json)
    if isinstance(values, dict) and isinstance(values.get("config"), dict):
        values = values["config"]
    return from_dict(_with_layer_map(values), where)


def _parsed(data: bytes, where: str, *, is_json: bool) -> Json:
    if is_json:
        return parse_json(data, name=where, error=ConfigError)
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # of the encoding or of TOML
        raise ConfigError(f"`{where}` must be TOML. Got: {error}") from error


def _with_layer_map(values: Json) -> Json:
    if not isinstance(values, dict) or values.get("kind", "tandem") != "tandem":
        return values
    if "layer_map" in values:
        return values
    try:
        depths = (values["primary"]["num_layers"], values["drafter"]["num_layers"])
        return values | {"layer_map": default_layer_map(*depths)}
    except (KeyError, TypeError, ZeroDivisionError):
        return values  # the config's own check says what is missing
