"""What verification found: one check per claim, each over many cases."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from tandem_export.jsontypes import JsonObject
from tandem_export.parity.trace import Divergence


@dataclass(frozen=True, kw_only=True)
class Check:
    """One claim of one level.

    Attributes:
      level: P0, P1 or P2.
      claim: in words.
      cases: answers that were compared (P2: samples).
      tokens: tokens in them.
      passed: whether the claim holds for all of them; None is not tested, and `detail` says why.
      divergences: what differed; under P1 near-ties are listed too.
      detail: a number or two for people, may be empty.
    """

    level: str
    claim: str
    cases: int
    tokens: int
    passed: bool | None
    divergences: tuple[Divergence, ...] = ()
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All checks of a bundle.

    Attributes:
      bundle: its name.
      parity: the level that its graphs claim.
      dtype: of weights and activations.
      prompts: how many.
      seconds: wall time.
    """

    bundle: str
    parity: str
    dtype: str
    prompts: int
    seconds: float
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check that was made passed."""
        return all(check.passed for check in self.checks if check.passed is not None)

    def to_dict(self) -> JsonObject:
        """Returns plain JSON values, `passed` included."""
        return dataclasses.asdict(self) | {"passed": self.passed}


def merge(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Checks of one level and claim put together, in the order in which claims first came."""
    groups: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        groups.setdefault((check.level, check.claim), []).append(check)
    return tuple(_sum(group) for group in groups.values())


def _sum(group: list[Check]) -> Check:
    return dataclasses.replace(
        group[0],
        cases=sum(check.cases for check in group),
        tokens=sum(check.tokens for check in group),
        passed=_all_passed(check.passed for check in group),
        divergences=tuple(d for check in group for d in check.divergences),
    )


def _all_passed(passed: Iterable[bool | None]) -> bool | None:
    tested = [one for one in passed if one is not None]
    return all(tested) if tested else None
