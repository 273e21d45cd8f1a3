"""The report file."""

from __future__ import annotations

import re

import pytest

from tandem_export.plan import PlanOptions, plan, read_pair
from tandem_export.plan.html import page


@pytest.fixture(scope="module")
def text() -> str:
    return page(plan("2b", read_pair("2b"), PlanOptions(batch=(1, 16))))


def test_it_needs_nothing_else(text: str) -> None:
    assert "<script" not in text and "<link" not in text and "<img" not in text
    loaded = re.findall(r'(?:src|href)="(?!#)([^"]*)"', text)
    assert loaded == []


def test_every_bucket_is_in_every_picture(text: str) -> None:
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) == 3
    for picture in pictures:
        assert "batch 1<" in picture or "batch 1," in picture
        assert "batch 16<" in picture or "batch 16," in picture
    assert "limit, 15.75 GiB" in pictures[1]
    assert len(re.findall("<tr>", text)) == 3


def test_the_same_plan_gives_the_same_file(text: str) -> None:
    assert page(plan("2b", read_pair("2b"), PlanOptions(batch=(1, 16)))) == text
