"""SavedModel: one model for TensorFlow Serving, every graph a signature of it."""

from tandem_export.targets.savedmodel.build import build_savedmodel
from tandem_export.targets.savedmodel.options import SavedModelOptions

__all__ = ["SavedModelOptions", "build_savedmodel"]
