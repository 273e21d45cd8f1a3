from __future__ import annotations

from pathlib import Path

import pytest

from tests.held_out import report


@pytest.mark.slow
def test_p0_on_held_out_prompts_in_bfloat16(tmp_path: Path) -> None:
    done = report("bfloat16", tmp_path)
    assert done.parity == "P0" and {check.level for check in done.checks} == {"P0"}
    assert done.passed, [check for check in done.checks if not check.passed]
