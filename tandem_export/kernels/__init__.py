"""Pallas kernels for TPU, each beside its reference in plain JAX."""

from tandem_export.kernels.ragged import check_support, ragged_attention

__all__ = ["check_support", "ragged_attention"]
