"""Numbers the rules by which drafts are accepted."""

from __future__ import annotations

from enum import IntEnum


class AcceptanceRule(IntEnum):
    """How drafts are judged; the values are those of the graphs' input `rule`.

    Under the first two, a row at temperature 0 accepts while the draft is the primary's argmax.
    """

    # Accept x with probability min(1, p(x) / q(x)); on rejection sample from max(0, p - q)
    # (Leviathan et al., "Fast inference from transformers via speculative decoding", 2023).
    LEVIATHAN = 0
    # The primary's own choice with the shared noise of the position decides, whatever was drafted.
    GUMBEL = 1
    # Every draft is accepted, and the primary's token follows.
    STANDALONE_FREE = 2
    # Every draft is accepted, and nothing follows.
    STANDALONE = 3


STANDALONE_RULES = (AcceptanceRule.STANDALONE_FREE, AcceptanceRule.STANDALONE)
