"""Reads, writes and summarises checkpoints; `docs/reference/checkpoint.md` defines the format."""

from tandem_export.checkpoint.comparison.reference import Reference, read_reference
from tandem_export.checkpoint.read import read_checkpoint
from tandem_export.checkpoint.record import Checkpoint, Vocabulary
from tandem_export.checkpoint.summary import summary
from tandem_export.checkpoint.write import write_checkpoint

__all__ = [
    "Checkpoint",
    "Reference",
    "Vocabulary",
    "read_checkpoint",
    "read_reference",
    "summary",
    "write_checkpoint",
]
