"""Makes checkpoints of pretrained models: Hugging Face folders, GGUF files, Orbax, safetensors."""

from tandem_export.importing.options import ImportOptions
from tandem_export.importing.read import read_source
from tandem_export.importing.run import import_checkpoint
from tandem_export.importing.source import Source

__all__ = ["ImportOptions", "Source", "import_checkpoint", "read_source"]
