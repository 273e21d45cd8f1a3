"""Attention of a block over a cache of which each row of the batch has filled its own length."""

from tandem_export.kernels.ragged.primitive import ragged_attention
from tandem_export.kernels.ragged.tiling import check_support

__all__ = ["check_support", "ragged_attention"]
