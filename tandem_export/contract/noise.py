"""Numbers the streams of noise, and lays out the counter from which a stream is made.

Noise is a function of (seed, position, stream, lane): Threefry-2x32-20 (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", SC 2011). Its key is the seed's two words, its counter the
position and `counter_word(stream, block)`; block i gives the lanes 2i and 2i + 1.
"""

from __future__ import annotations

from enum import IntEnum

STREAM_BITS = 28  # of the counter's second word: the blocks of a stream; the stream is above them


class Stream(IntEnum):
    """What noise is drawn for; streams of one position are independent."""

    TOKEN = 0  # a draft's choice; under the gumbel rule the primary's choice too
    ACCEPT = 1  # the acceptance test of a draft, lane 0 only
    RESIDUAL = 2  # the primary's token under the leviathan and standalone rules
    SAMPLE = 3  # seeds of the further samples of one request


def counter_word(stream: int, block: int = 0) -> int:
    """Returns the second word of the counter for a block of a stream."""
    return (stream << STREAM_BITS) + block
