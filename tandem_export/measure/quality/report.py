"""What an evaluation found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tandem_export.jsontypes import JsonObject
from tandem_export.measure.quality.scores import Means


@dataclass(frozen=True, kw_only=True)
class AtBlockLength:
    """A drafter's measures.

    Attributes:
      block: tokens drafted between two runs of the primary; None for a drafter that does not see
        it, whose measures are the same at any.
      means: over all tokens that were counted.
    """

    block: int | None
    means: Means


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Drafts accepted in the real loop.

    Attributes:
      sampling: `greedy` or `temperature 1`.
      gamma: the longest draft.
      accepted_per_round: of a row.
      acceptance_at: accepted / drafted for each place in the draft.
      answers: how many, of `tokens` tokens together.
    """

    sampling: str
    gamma: int
    accepted_per_round: float
    acceptance_at: tuple[float, ...]
    answers: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The paper's measures of one pair on one text.

    Attributes:
      bundle: its name.
      executor: which ran the graphs.
      texts: windows or conversations that were read.
      primary: accuracy and cross entropy of the primary itself.
      drafter: one entry for each block length.
      acceptance: one entry for each way of sampling; none where it was left out.
    """

    bundle: str
    executor: str
    texts: int
    primary: Means
    drafter: tuple[AtBlockLength, ...]
    acceptance: tuple[Acceptance, ...]

    def to_dict(self) -> JsonObject:
        """Returns plain JSON values; cross entropy in nats a token, shares as fractions."""
        values = dataclasses.asdict(self)
        primary = {name: values["primary"][name] for name in ("tokens", "accuracy", "ce")}
        drafter = [{"block": row["block"], **row["means"]} for row in values["drafter"]]
        return values | {"primary": primary, "drafter": drafter}
