"""The embedded demo checkpoints and the names they go by."""

from tandem_export.data.demos import DEMOS, demo_path

__all__ = ["DEMOS", "demo_path"]
