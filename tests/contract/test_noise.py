from __future__ import annotations

from tandem_export.contract import Stream, counter_word


def test_streams_do_not_overlap() -> None:
    last = 2**28 - 1
    words = [counter_word(stream, block) for stream in Stream for block in (0, last)]
    assert words == sorted(set(words)) and words[-1] < 2**32
