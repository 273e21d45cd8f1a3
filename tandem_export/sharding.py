"""Which axis of a tensor is split between chips, by rules on names (tensor parallelism).

Megatron's split (Shoeybi et al. 2019): the maps into heads and into the feed-forward width are
split by their outputs, the maps back by their inputs, so a layer needs two sums between chips. Both
vocabulary tables are split by the vocabulary. What is small, or does not divide, every chip keeps.
"""

from __future__ import annotations

import re

from tandem_export.config import DecoderConfig

_BY_OUTPUT = re.compile(r"(attention\.(q|k|v)|ff\.(gate|up)|(^|\.)head)\.(weight|bias|scale)$")
_BY_INPUT = re.compile(r"(attention\.o|ff\.down|(^|\.)embedding)\.weight$")
_KEY_VALUE = re.compile(r"attention\.(k|v)\.")
_ATTENTION = re.compile(r"attention\.(q|k|v|o)\.")


def splits_heads(config: DecoderConfig, chips: int) -> bool:
    """Returns whether each chip gets whole key/value heads."""
    return config.num_kv_heads % chips == 0


def split_axis(name: str, shape: tuple[int, ...], config: DecoderConfig, chips: int) -> int | None:
    """Returns the axis of parameter `name` that is split, or None where every chip has all of it.

    Args:
      name: the tensor's name within its part, such as `layers.0.attention.q.weight`.
      shape: its shape; an axis that does not divide by `chips` is not split.
      config: of the decoder that it belongs to.
      chips: how many.
    """
    if not splits_heads(config, chips):
        # One head serves all chips. Of several, the partitioner would spread copies of the cache
        # over the chips and gather them again, so such an attention stays whole.
        names = _KEY_VALUE if config.num_kv_heads == 1 else _ATTENTION
        if names.search(name):
            return None
    if _BY_OUTPUT.search(name):
        axis = len(shape) - 1
    elif _BY_INPUT.search(name) or name == "embedding.scale":
        axis = 0
    else:
        return None
    return axis if shape[axis] % chips == 0 else None
