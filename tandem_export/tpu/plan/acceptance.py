"""How many tokens a round is expected to commit.

A profile is the chance that a round commits at least i + 1 drafts, for each place i. With one rate
a for every draft it is a^(i+1), and a round of gamma drafts commits (1 - a^(gamma+1)) / (1 - a)
tokens, the primary's own included (Leviathan et al. 2023, equation 1).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from tandem_export.errors import ConfigError
from tandem_export.jsontypes import Json
from tandem_export.storage import read_json

_PROFILE = "a JSON object with `acceptance_at`, or what `tandem-export bench --out` writes"


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Chances by place in the draft, and how they continue after the last one.

    Attributes:
      reached: for each measured place, the chance that the draft at it is committed; not rising.
      tail: the factor from one place to the next after the measured ones.
      source: where it comes from, for the report.
    """

    reached: tuple[float, ...]
    tail: float
    source: str

    def __post_init__(self) -> None:
        chances = (1.0, *self.reached)
        falling = all(0 <= b <= a for a, b in itertools.pairwise(chances))
        if not (falling and 0 <= self.tail <= 1):
            rule = "chances between 0 and 1 that do not rise with the place"
            raise ConfigError(f"`acceptance` must be {rule}. Got: {self.reached}, then {self.tail}")

    def at(self, place: int) -> float:
        """Returns the chance that a round commits the draft at `place` (0 is the first)."""
        known = len(self.reached)
        if place < known:
            return self.reached[place]
        last = self.reached[-1] if known else 1.0
        return last * self.tail ** (place - known + 1)

    def tokens(self, gamma: int) -> float:
        """Returns the expected tokens of a round of `gamma` drafts, the primary's included."""
        return 1.0 + sum(self.at(place) for place in range(gamma))


def from_rate(rate: float) -> Acceptance:
    """Returns the same chance for every draft.

    Raises:
      ConfigError: it is not between 0 and 1.
    """
    return Acceptance(reached=(), tail=rate, source=f"one rate, {rate:g}")


def read_acceptance(text: str) -> Acceptance:
    """Returns a rate such as `0.8`, or the profile in the file that `text` names.

    Raises:
      ConfigError: neither.
    """
    try:
        rate = float(text)
    except ValueError:
        return from_file(Path(text))
    return from_rate(rate)


def from_file(path: Path) -> Acceptance:
    """Returns a measured profile: of `bench`, the SPEED candidate with the longest draft.

    Raises:
      ConfigError: the file holds none.
    """
    values = read_json(path, error=ConfigError)
    try:
        profiles = _profiles(values)
    except (TypeError, ValueError, KeyError):
        profiles = []
    if not profiles:
        raise ConfigError(f"`{path}` must be {_PROFILE}. Got: {str(values)[:60]}")
    longest = max(profiles, key=len)
    return Acceptance(reached=longest, tail=_tail(longest), source=f"measured, {path.name}")


def _profiles(values: Json) -> list[tuple[float, ...]]:
    if not isinstance(values, dict):
        return []
    lines = [line for table in values.get("tables", []) for line in table["lines"]]
    speed = [line for line in lines if line["family"] == "speed"]
    every = [entry.get("acceptance_at") for entry in (speed or [values])]
    return [tuple(map(float, profile)) for profile in every if profile]


def _tail(reached: tuple[float, ...]) -> float:
    """Returns the mean factor from place to place, the first from certainty: a geometric end."""
    return reached[-1] ** (1 / len(reached))
