"""The checkpoint format: read, write, summarise. `docs/checkpoint.md` is its definition."""

from tandem_export.checkpoint.read import read_checkpoint
from tandem_export.checkpoint.record import Checkpoint, Vocabulary
from tandem_export.checkpoint.reference import Reference, read_reference
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
