"""`tandem-export import`, and what it stores, up to `generate --chat`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import KEPT, run
from tests.parity.bundles import shared_bundle, shared_checkpoint

BUCKETS = ("--batch", 1, "--gamma", 2, "--prompt", 4, "--cache", 32, "--max-new", 4)
ROLES = ("--graphs", "prefill,insert,round", "--platform", "cpu")


def test_help_has_examples() -> None:
    result = run("import", "--help")
    assert result.exit_code == 0 and "Examples:\n    tandem-export import" in result.stdout


def test_chat_template_goes_from_import_to_generate(tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="chat templates need jinja2 (the extra `chat`)")
    template = tmp_path / "chat.jinja"
    text = "{% for m in messages %}{{ {'system': 'w3', 'user': 'w5'}[m.role] }} {{ m.content }} "
    template.write_text(text + "{% endfor %}{% if add_generation_prompt %}w7{% endif %}")
    pair, bundle = tmp_path / "pair", tmp_path / "bundle"
    source = shared_checkpoint()
    options = ("--drafter", source, "--chat-template", template, "--end-tokens", "w16")
    made = run("import", source, *options, "--out", pair, "--json")
    assert made.exit_code == 0, made.stderr
    facts = json.loads(made.stdout)
    assert facts["kind"] == "independent" and "chat_template" in facts["sha256"]
    assert facts["vocabulary"]["end_tokens"] == [0, 16]
    shown = run("import", source, *options, "--out", pair, "--overwrite")
    assert shown.exit_code == 0 and "drafter" in shown.stdout
    built = run("build", pair, "--out", bundle, *BUCKETS, *ROLES)
    assert built.exit_code == 0, built.stderr
    assert (bundle / "chat_template.jinja").read_text() == template.read_text()
    same = ("--max-new-tokens", 4, "--gamma", 2, *KEPT, "--json")
    chat = run("generate", bundle, "w9", "--system", "w2", *same)
    assert chat.exit_code == 0, chat.stderr
    by_hand = run("generate", bundle, "w3 w2 w5 w9 w7", *same)
    first, second = (json.loads(r.stdout)["answers"][0]["tokens"] for r in (chat, by_hand))
    assert first == second and len(first) > 0
    (bundle / "chat_template.jinja").write_text("{{ other }}")
    damaged = run("generate", bundle, "w9", "--chat", *same)
    assert damaged.exit_code == 2 and "chat_template.jinja" in damaged.stdout
    without = run("generate", shared_bundle(), "w9", "--chat", *KEPT)
    assert without.exit_code == 2 and "has no chat template" in without.stderr


def test_a_source_of_no_known_kind_is_one_paragraph(tmp_path: Path) -> None:
    result = run("import", tmp_path, "--drafter-layers", "0", "--out", tmp_path / "pair")
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1
    assert "the primary must be a Hugging Face folder" in result.stderr
