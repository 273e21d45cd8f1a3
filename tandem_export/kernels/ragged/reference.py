"""What the kernel computes, in plain JAX; on other platforms than TPU it is what runs."""

from __future__ import annotations

from jaxtyping import Array, Float, Int

from tandem_export.model import attend, two_part_masks


def reference(
    q: Float[Array, "B T N H"],
    k_cache: Float[Array, "B K S H"],
    v_cache: Float[Array, "B K S H"],
    k_block: Float[Array, "B K T H"],
    v_block: Float[Array, "B K T H"],
    start: Int[Array, " B"],
    *,
    scale: float,
    softcap: float | None,
    window: int | None,
) -> Float[Array, "B T N H"]:
    """Computes attention over the first `start` positions of the cache and over the block."""
    past, block = two_part_masks(start, q.shape[1], k_cache.shape[2], window)
    parts = [(k_cache, v_cache, past), (k_block, v_block, block)]
    return attend(q, parts, scale=scale, softcap=softcap)
