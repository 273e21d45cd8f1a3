"""The facts for `checkpoint inspect`."""

from __future__ import annotations

import json
from pathlib import Path

from tandem_export.checkpoint import read_checkpoint, summary
from tandem_export.config import to_dict


def test_summary_counts_by_hand(folder: Path):
    checkpoint = read_checkpoint(folder)
    facts = summary(checkpoint)
    # Router: 1 + k + k * D = 1 + 2 + 2 * 8 = 19 inputs, 4 hidden: 19 * 4 + 4, then 4 * 1 + 1.
    assert facts["parts"]["router"] == {
        "tensors": 4,
        "parameters": 85,
        "bytes": 340,
        "dtype": "float32",
    }
    # Drafter: embedding 16 * 8; q, o 8 * 8; k, v 8 * 4; three norms of 8; feed-forward 3 * 8 * 8;
    # projection 8 * 8.
    assert facts["parts"]["drafter"]["parameters"] == 128 + 2 * 64 + 2 * 32 + 24 + 192 + 64
    assert facts["parameters"] == sum(part["parameters"] for part in facts["parts"].values())
    assert facts["bytes"] == 4 * facts["parameters"]


def test_summary_is_json_and_complete(folder: Path):
    checkpoint = read_checkpoint(folder)
    facts = summary(checkpoint)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["kind"] == "tandem"
    assert facts["config"] == json.loads(json.dumps(to_dict(checkpoint.config)))
    assert facts["vocabulary"] == {"size": 16, "end_tokens": [0, 3], "begin_token": 1}
    assert facts["sha256"] == checkpoint.source
    assert facts["provenance"] == checkpoint.provenance
