"""Reads the schedule that the TPU compiler prints."""

from tandem_export.tpu.schedule.hlo import parse
from tandem_export.tpu.schedule.walk import array_key

__all__ = [
    "array_key",
    "parse",
]
