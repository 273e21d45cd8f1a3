"""Every executor keeps what `Steps` and `Rounds` promise; docs/extending/executor.md adds one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tandem_export.runtime.testing import CHECKS, Subject
from tests.runtime.executors.subjects import SUBJECTS


@pytest.fixture(scope="module", params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    subject = SUBJECTS[request.param]()
    with closing(subject.executor):
        yield subject


@pytest.mark.parametrize("check", CHECKS)
def test_an_executor_conforms(subject: Subject, check: str) -> None:
    CHECKS[check](subject)
