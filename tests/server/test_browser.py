"""The page in headless Chromium: the system's, or that of `playwright install chromium`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tandem_export.runtime import SamplingParams
from tandem_export.runtime.testing import toy_engine
from tests.server.running import served_engine, serving
from tests.server.test_page import an_answer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page, errors = browser.new_page(viewport={"width": 900, "height": 1100}), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


def counts(page: Page) -> dict[str, int]:
    kinds = ("accepted", "corrected", "bonus", "alone")
    return {kind: int(page.inner_text(f"#count-{kind}")) for kind in kinds}


def test_an_answer_streams_in_with_its_colours(page: Page, tmp_path: Path) -> None:
    want = toy_engine(batch=1)[0].generate("abc the", SamplingParams(max_new_tokens=20))[0]
    with serving(served_engine()[0]) as address:
        page.goto(address)
        expect(page.locator("#model")).to_have_text("toy")
        expect(page.locator("#gamma")).to_have_value("3")
        expect(page.locator("#key-label")).to_be_hidden()
        page.fill("#prompt", "abc the")
        page.fill("#length", "20")
        page.click("#go")
        expect(page.locator("#tokens")).to_have_text("20")
        assert page.text_content("#text") == want.text
        assert counts(page)["accepted"] == want.stats.accepted
        assert sum(counts(page).values()) == 20
        assert counts(page)["alone"] == 1, "the last token leaves no room for a draft"
        shares = [column.inner_text() for column in page.locator("#places div").all()]
        rates = [round(100 * rate) for rate in want.stats.acceptance_at]
        assert [int(share.split(" ")[0]) for share in shares] == rates
        page.screenshot(path=tmp_path / "live.png", full_page=True)
        colours = page.evaluate(
            "Object.fromEntries(['accepted', 'corrected'].map(kind => [kind, getComputedStyle("
            "document.querySelector('#text .' + kind)).backgroundColor]))"
        )
        assert len(set(colours.values())) == 2
        page.select_option("#mode", "primary")
        expect(page.locator("#gamma")).to_be_disabled()
        page.click("#go")
        expect(page.locator("#count-alone")).to_have_text("20")
        assert page.text_content("#text") == want.text
    assert (tmp_path / "live.png").stat().st_size > 10_000


def test_sliders_reach_the_engine_and_errors_are_shown(page: Page) -> None:
    engine, executor = served_engine()
    with serving(engine) as address:
        page.goto(address)
        expect(page.locator("#model")).to_have_text("toy")
        page.select_option("#mode", "router")
        page.locator("#gamma").fill("5")
        page.locator("#tau").fill("0.9")
        page.fill("#length", "20")
        page.click("#go")
        expect(page.locator("#tokens")).to_have_text("20")
        assert {(kind.role, kind.gamma) for kind in executor.calls} == {("round_router", 5)}
        assert engine.stats.router_stops > 0
        page.fill("#length", "64")
        page.click("#go")
        expect(page.locator("#error")).to_contain_text("at most the cache's 48 positions")


def test_the_key_is_asked_for(page: Page) -> None:
    with serving(served_engine()[0], api_key="secret") as address:
        page.goto(address)
        expect(page.locator("#key-label")).to_be_visible()
        page.fill("#key", "secret")
        page.locator("#key").blur()
        expect(page.locator("#model")).to_have_text("toy")


def test_a_file_shows_one_answer(page: Page, tmp_path: Path) -> None:
    deltas, text = an_answer()
    file = tmp_path / "answer.html"
    file.write_text(text, "utf-8")
    page.goto(file.as_uri())
    expect(page.locator("#tokens")).to_have_text("20")
    assert page.text_content("#text") == "".join(delta.text for delta in deltas)
    assert counts(page)["accepted"] == sum(delta.accepted for delta in deltas)
    assert page.inner_text("#speed") == "40.0"
