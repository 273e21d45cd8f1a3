"""Cuts fused tensors: `theirs[0:8]` are outputs 0 to 7 of `theirs`, such as q of q, k and v."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from tandem_export.errors import CheckpointError
from tandem_export.importing.lazy import LazyTensor

_CUT = re.compile(r"(?P<name>.+)\[(?P<start>\d{1,9}):(?P<stop>\d{1,9})\]")


@dataclass(frozen=True, kw_only=True)
class Source:
    """What stands on the right side of a map.

    Attributes:
      name: of the tensor in the owner's file.
      outputs: first and past last output that are taken; None is all.
    """

    name: str
    outputs: tuple[int, int] | None = None

    def __str__(self) -> str:
        return self.name if self.outputs is None else "{}[{}:{}]".format(self.name, *self.outputs)

    @classmethod
    def parse(cls, text: str) -> Source:
        """Returns what `NAME` or `NAME[START:STOP]` says."""
        cut = _CUT.fullmatch(text)
        if cut is None:
            return cls(name=text)
        return cls(name=cut["name"], outputs=(int(cut["start"]), int(cut["stop"])))

    def cut(self, tensor: LazyTensor) -> LazyTensor:
        """Returns the outputs that are taken: of the last axis, `[in, out]` or a bias `[out]`."""
        if self.outputs is None:
            return tensor
        return tensor.take(np.arange(*self.outputs), axis=len(tensor.shape) - 1)


def check_cuts(sources: Collection[Source], sizes: Mapping[str, int]) -> None:
    """Checks that every output of a tensor that is cut is taken, once.

    Args:
      sources: all right sides of a map.
      sizes: outputs of each tensor.

    Raises:
      CheckpointError: the text names the tensor and its cuts.
    """
    cuts: dict[str, list[tuple[int, int]]] = {}
    for source in sources:
        if source.outputs is not None:
            cuts.setdefault(source.name, []).append(source.outputs)
    whole = {source.name for source in sources if source.outputs is None}
    for name, ranges in cuts.items():
        ends = [0, *(end for one in sorted(ranges) for end in one), sizes[name]]
        if ends[::2] != ends[1::2] or any(a >= b for a, b in ranges) or name in whole:
            rule = f"tensor `{name}` has {sizes[name]} outputs, and each must be taken once"
            got = ", ".join(f"[{a}:{b}]" for a, b in sorted(ranges))
            beside = " and the tensor as it is" if name in whole else ""
            raise CheckpointError(f"{rule}. Got: {got}{beside}. Mend the ranges in the map")
