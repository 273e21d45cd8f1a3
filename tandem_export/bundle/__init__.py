"""The bundle: manifest, weight store, graph files; written atomically, checked before use.

Knows numpy and the standard library, no engine and no model: the runtime reads bundles through it.
"""

from tandem_export.bundle.bundle import Bundle
from tandem_export.bundle.describe import describe
from tandem_export.bundle.facts import BuildRecord, SavedModelFacts, TargetFacts, Tuning
from tandem_export.bundle.jax_export import Artifact
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
from tandem_export.bundle.reader import open_bundle
from tandem_export.bundle.weights import locate_weights
from tandem_export.bundle.writer import BundleWriter
from tandem_export.storage import TensorPlace

__all__ = [
    "FORMAT_VERSION",
    "Artifact",
    "BuildRecord",
    "Bundle",
    "BundleWriter",
    "CheckpointRecord",
    "FileRecord",
    "GraphRecord",
    "Manifest",
    "ModelRecord",
    "SavedModelFacts",
    "TargetFacts",
    "TensorPlace",
    "TensorSpec",
    "Tuning",
    "describe",
    "locate_weights",
    "open_bundle",
    "parse_manifest",
]
