"""Reads Hugging Face folders."""

from tandem_export.importing.hugging_face.folder import read_folder

__all__ = [
    "read_folder",
]
