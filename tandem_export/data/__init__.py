"""The embedded demo checkpoints and the names they go by."""

from tandem_export.data.demos import DEMOS, PREFIX, demo_path
from tandem_export.data.prompts import Prompt, encode_prompts

__all__ = [
    "DEMOS",
    "PREFIX",
    "Prompt",
    "demo_path",
    "encode_prompts",
]
