"""The bundle: manifest, weight store, graph files; written atomically, checked before use.

Knows numpy and the standard library, no engine and no model: the runtime reads bundles through it.
"""

from tandem_export.bundle.amend import add_tuning
from tandem_export.bundle.bundle import Bundle
from tandem_export.bundle.describe import describe
from tandem_export.bundle.facts import BuildRecord, SavedModelFacts, TargetFacts, Tuning
from tandem_export.bundle.jax_export import Artifact
from tandem_export.bundle.layout import CHAT_TEMPLATE, TOKENIZER, WEIGHTS, graph_file
from tandem_export.bundle.manifest import (
    FORMAT_VERSION,
    CheckpointRecord,
    FileRecord,
    GraphRecord,
    Manifest,
    ModelRecord,
    TensorSpec,
)
from tandem_export.bundle.parse import parse_manifest
from tandem_export.bundle.reader import open_bundle, read_manifest
from tandem_export.bundle.weights import (
    MappedFile,
    forget_pages,
    locate_weights,
    map_weights,
    write_weights,
)
from tandem_export.bundle.writer import BundleWriter
from tandem_export.storage import TensorPlace

__all__ = [
    "CHAT_TEMPLATE",
    "FORMAT_VERSION",
    "TOKENIZER",
    "WEIGHTS",
    "Artifact",
    "BuildRecord",
    "Bundle",
    "BundleWriter",
    "CheckpointRecord",
    "FileRecord",
    "GraphRecord",
    "Manifest",
    "MappedFile",
    "ModelRecord",
    "SavedModelFacts",
    "TargetFacts",
    "TensorPlace",
    "TensorSpec",
    "Tuning",
    "add_tuning",
    "describe",
    "forget_pages",
    "graph_file",
    "locate_weights",
    "map_weights",
    "open_bundle",
    "parse_manifest",
    "read_manifest",
    "write_weights",
]
