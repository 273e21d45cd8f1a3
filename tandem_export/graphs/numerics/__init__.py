"""Computes what rounds draw and compare: counter-based noise, sampling distributions.

`tandem_export/runtime/reference` is the twin in plain numpy; tests compare the two.
"""

from tandem_export.graphs.numerics.calls import cond, switch
from tandem_export.graphs.numerics.indexing import take_along_axis
from tandem_export.graphs.numerics.sampling import choose, processed_log_probs
from tandem_export.graphs.numerics.threefry import gumbel, uniform

__all__ = [
    "choose",
    "cond",
    "gumbel",
    "processed_log_probs",
    "switch",
    "take_along_axis",
    "uniform",
]
