"""The report file."""

from __future__ import annotations

import re

import pytest

from tandem_export.tpu.plan import PlanOptions, build_command, conclusion, plan, read_pair
from tandem_export.tpu.plan.html import page


@pytest.fixture(scope="module")
def text() -> str:
    return page(plan("2b", read_pair("2b"), PlanOptions(batch=(1, 16))))


def test_it_needs_nothing_else(text: str) -> None:
    assert "<script" not in text and "<link" not in text and "<img" not in text
    loaded = re.findall(r'(?:src|href)="(?!#)([^"]*)"', text)
    assert loaded == []


def test_it_begins_with_its_conclusion_and_the_command(text: str) -> None:
    made = plan("2b", read_pair("2b"), PlanOptions(batch=(1, 16)))
    body = text.split("</h1>")[1]
    assert body.lstrip().startswith(f"<p>{conclusion(made)}</p>\n<pre>{build_command(made)}</pre>")
    assert "Most tokens per second: " in conclusion(made)
    gammas = ",".join(str(g) for g in sorted({b.best.gamma for b in made.buckets}))
    expected = f"--batch 1,16 --gamma {gammas} --cache 2048 --dtype bfloat16 --platform tpu"
    assert build_command(made) == f"tandem-export build CHECKPOINT --out DIR {expected}"


def test_the_command_is_one_that_build_takes() -> None:
    from tandem_export.cli.commands.build import build

    made = plan("demo:stdlib-mini", read_pair("demo:stdlib-mini"), PlanOptions(storage="int8"))
    words = build_command(made).split()[2:]
    context = build.make_context("build", words)
    assert context.params["checkpoint"] == "demo:stdlib-mini"
    assert context.params["quantize"] == "int8"
    assert context.params["batch"] == tuple(bucket.batch for bucket in made.buckets)


def test_a_narrow_screen_scrolls_pictures_and_not_the_page(text: str) -> None:
    assert 'content="width=device-width, initial-scale=1"' in text
    wide = re.findall(r'<div class="wide">\s*<(\w+)', text)
    assert wide == ["table", "svg", "svg", "svg"] and ".wide { overflow-x: auto; }" in text


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
