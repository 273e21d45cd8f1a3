"""`--map`: which of an owner's tensors is which of this project's, and how theirs are laid out."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tandem_export.checkpoint import read_text
from tandem_export.errors import CheckpointError
from tandem_export.jsontypes import Json

PARTS = ("primary", "drafter", "router")
_MATRICES, _ROTARY = ("in_out", "out_in"), ("halves", "interleaved")
_KEYS = ("matrices", "rotary", "unused", *PARTS)


@dataclass(frozen=True, kw_only=True)
class NameMap:
    """How an owner's tensors become those of docs/reference/checkpoint.md.

    Attributes:
      names: part -> this project's name -> theirs, `{j}` for the layer in both. A tensor that is
        not listed is called `PART.NAME` there.
      matrices: `in_out`, y = x W, or `out_in`, as torch has them.
      rotary: `halves`, pairs (x[i], x[i + H/2]), or `interleaved`, pairs (x[2i], x[2i + 1]).
      unused: patterns of tensors that are rightly left out, as of a shell.
    """

    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    matrices: str = "in_out"
    rotary: str = "halves"
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, known in (("matrices", _MATRICES), ("rotary", _ROTARY)):
            if getattr(self, key) not in known:
                raise CheckpointError(
                    f"`{key}` must be one of {known}. Got: {getattr(self, key)!r}"
                )
        tables = (self.names.get(part, {}) for part in PARTS)
        if not all(isinstance(t, dict) and all(map(_is_text, t.values())) for t in tables):
            rule = (
                '`[primary]`, `[drafter]` and `[router]` must be tables of texts: "ours" = "theirs"'
            )
            raise CheckpointError(rule)
        if not (isinstance(self.unused, list | tuple) and all(map(_is_text, self.unused))):
            raise CheckpointError(f"`unused` must be a list of texts. Got: {self.unused!r}")

    def theirs(self, part: str, name: str) -> str:
        """Returns their name of the tensor `name` of `part`."""
        table, pieces = self.names.get(part, {}), name.split(".")
        if name in table:
            return table[name]
        for at, piece in enumerate(pieces):
            counted = ".".join([*pieces[:at], "{j}", *pieces[at + 1 :]])
            if piece.isdigit() and counted in table:
                return table[counted].replace("{j}", piece)
        return f"{part}.{name}"

    def unknown(self, known: Mapping[str, set[str]]) -> list[str]:
        """Returns the names on the left that are no tensor of the configuration."""
        counted = {part: {_counted(n) for n in names} | names for part, names in known.items()}
        return [
            f"{part}: {name}"
            for part, table in self.names.items()
            for name in table
            if name not in counted.get(part, set())
        ]


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


def _counted(name: str) -> str:
    return ".".join("{j}" if piece.isdigit() else piece for piece in name.split("."))


def read_name_map(path: Path) -> NameMap:
    """Returns the map in a TOML file.

    Raises:
      CheckpointError: not TOML, an unknown key, or a value that breaks a rule.
    """
    try:
        values = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CheckpointError(f"must be TOML. Got: {error}") from error
    unknown = sorted(set(values) - set(_KEYS))
    if unknown:
        raise CheckpointError(f"its keys must be some of {_KEYS}. Got: {unknown[0]!r}")
    names = {part: values.pop(part) for part in PARTS if part in values}
    return NameMap(names=names, **values)
