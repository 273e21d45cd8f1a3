"""Pairs without weights: the presets, and any TOML file of the same form."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from tandem_export.config import TandemConfig
from tandem_export.config_file import parse_config, read_config
from tandem_export.errors import ConfigError

PRESETS = ("270m", "2b", "8b")


def read_pair(source: str) -> TandemConfig:
    """Reads the pair that `source` names: a preset, a TOML or JSON file, or a checkpoint.

    Raises:
      ConfigError: none of these, or a config that breaks a rule; the text lists the presets.
      CheckpointError: a checkpoint that cannot be read.
    """
    if source in PRESETS:
        file = resources.files("tandem_export.tpu.plan").joinpath(f"presets/{source}.toml")
        return parse_config(file.read_bytes(), source)
    path = Path(source)
    if path.suffix == ".toml" and path.is_file():
        return read_config(path)
    if not (path.exists() or source.startswith("demo:")):
        rule = f"a preset ({', '.join(PRESETS)}), a TOML file of configs, or a checkpoint"
        raise ConfigError(f"the pair must be {rule}. Got: {source!r}, which is none of them")
    from tandem_export.checkpoint import read_checkpoint

    return read_checkpoint(source).config
