"""What ONNX makes of each primitive of jax: `(graph, equation, *operands) -> result or results`."""

from __future__ import annotations

from collections.abc import Callable

from tandem_export.targets.onnx.lower.primitives import (
    elementwise,
    indexing,
    product,
    reduction,
    shape,
)

LOWERINGS: dict[str, Callable] = {
    **elementwise.LOWERINGS,
    **indexing.LOWERINGS,
    **product.LOWERINGS,
    **reduction.LOWERINGS,
    **shape.LOWERINGS,
}
