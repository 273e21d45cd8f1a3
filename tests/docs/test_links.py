from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import README, ROOT, anchors, links, pages

EVERY = [README, *pages()]


@pytest.mark.parametrize("page", EVERY, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), f"{page.name}: no {target}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: no #{anchor} in {target.name}"


def test_every_page_is_two_clicks_from_the_readme() -> None:
    once = {target for target, _ in links(README)}
    twice = {target for page in once if page.suffix == ".md" for target, _ in links(page)}
    assert [str(page.relative_to(ROOT)) for page in pages() if page not in once | twice] == []
