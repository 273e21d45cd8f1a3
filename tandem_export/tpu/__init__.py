"""Runs the TPU compiler in a separate process and analyses the schedule that it prints.

Nothing here knows graphs or models: the process starts with jax and libtpu alone.
"""

from tandem_export.tpu.environment import run_without_chips

__all__ = [
    "run_without_chips",
]
