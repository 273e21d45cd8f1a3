"""Reads, writes and summarises checkpoints; `docs/reference/checkpoint.md` defines the format."""

from tandem_export.checkpoint.comparison import Reference, read_reference
from tandem_export.checkpoint.orbax import read_orbax
from tandem_export.checkpoint.read import read_checkpoint
from tandem_export.checkpoint.record import Checkpoint, Vocabulary, naming, read_text
from tandem_export.checkpoint.summary import summary
from tandem_export.checkpoint.tensors import listed, map_tensors, overall_dtype
from tandem_export.checkpoint.write import write_checkpoint

__all__ = [
    "Checkpoint",
    "Reference",
    "Vocabulary",
    "listed",
    "map_tensors",
    "naming",
    "overall_dtype",
    "read_checkpoint",
    "read_orbax",
    "read_reference",
    "read_text",
    "summary",
    "write_checkpoint",
]
