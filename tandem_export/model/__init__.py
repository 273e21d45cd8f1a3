"""The model: one decoder for primary and drafter, the tandem projections, the router."""

from tandem_export.model.attention import (
    MASKED,
    attend,
    causal_mask,
    group_queries,
    two_part_masks,
    ungroup_queries,
)
from tandem_export.model.decoder import Attend, Decoder, KeyValue, Pass
from tandem_export.model.drafter import Drafter
from tandem_export.model.jitted import jit, jit_static
from tandem_export.model.parameters import (
    PARTS,
    Params,
    abstract,
    bind,
    has_part,
    initialise,
    shapes,
)
from tandem_export.model.quantized import Int8, joined, quantize, quantized_shapes, scale_shape
from tandem_export.model.rotary import inverse_frequencies
from tandem_export.model.router import Router, router_features

__all__ = [
    "MASKED",
    "PARTS",
    "Attend",
    "Decoder",
    "Drafter",
    "Int8",
    "KeyValue",
    "Params",
    "Pass",
    "Router",
    "abstract",
    "attend",
    "bind",
    "causal_mask",
    "group_queries",
    "has_part",
    "initialise",
    "inverse_frequencies",
    "jit",
    "jit_static",
    "joined",
    "quantize",
    "quantized_shapes",
    "router_features",
    "scale_shape",
    "shapes",
    "two_part_masks",
    "ungroup_queries",
]
