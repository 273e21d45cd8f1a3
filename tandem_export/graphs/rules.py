"""The acceptance rules, values of the graphs' input `rule` (docs/architecture.md).

`leviathan`: Leviathan et al. 2023, accept x with probability min(1, p(x) / q(x)), on rejection
sample from max(0, p - q). `gumbel`: drafter-invariant, the primary's own choice with the shared
noise of the position decides. The others accept every draft, with the primary's token after them
(standalone, free) and without it. A row at temperature 0 accepts while the draft is the primary's
argmax. `runtime/acceptance.py` is the plain reference.
"""

LEVIATHAN, GUMBEL, STANDALONE_FREE, STANDALONE = range(4)
