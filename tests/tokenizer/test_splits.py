"""Each `tokenizer.ggml.pre` splits text as llama.cpp does."""

# ruff: noqa: RUF001 (letters that look like others are the point)

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tandem_export.storage import Fields
from tandem_export.tokenizer import begin_token, read_gguf_vocabulary
from tandem_export.tokenizer.pieces import Kind
from tandem_export.tokenizer.splits import WORD_SPLITS
from tests.tokenizer.gguf_fields import as_fields
from tests.tokenizer.samples import AWKWARD, MULTILINGUAL

SENTENCE = "Don't  look:\n\n x1234567 élan, (我) a/b$\r\n"
# The words, by hand; `·` stands between two of them. The marks of DeepSeek, `:-~`, hold a to z.
WORDS = {
    "default": "Don·'·t· · look·:·\n\n· x·123·456·7· élan·,· ·(·我·)· a·/·b·$·\r\n",
    "llama-bpe": "Don·'t· · look·:\n\n· x·123·456·7· élan·,· (·我·)· a·/b·$\r\n",
    "dbrx": "Don·'t· · look·:\n\n· x·123·456·7· élan·,· (·我·)· a·/b·$\r\n",
    "qwen2": "Don·'t· · look·:\n\n· x·1·2·3·4·5·6·7· élan·,· (·我·)· a·/b·$\r\n",
    "deepseek-r1-qwen": "Don·'t· · look·:\n\n· x·1·2·3·4·5·6·7· élan·,· (·我·)· a·/b·$\r\n",
    "qwen35": "Don·'t· · look·:\n\n· x·1·2·3·4·5·6·7· élan·,· (·我·)· a·/b·$\r\n",
    "ufakzeka": "Don·'t· · look·:\n\n· x·1·2·3·4·5·6·7· élan·,· (·我·)· a·/b·$\r\n",
    "tekken": "Don·'t· · look·:\n\n· x·1·2·3·4·5·6·7· élan·,· (·我·)· a·/b·$\r\n",
    "gpt-4o": "Don't· · look·:\n\n· x·123·456·7· élan·,· (·我·)· a·/b·$\r\n",
    "gpt-2": "Don·'t· · look·:·\n\n· x·1234567· élan·,· (·我·)· a·/·b·$·\r\n",
    "smollm": "Don·'t· · look·:·\n\n· x·1·2·3·4·5·6·7· élan·,· (·我·)· a·/·b·$·\r\n",
    "falcon": "Don·'·t· · look·:·\n\n· x·123·456·7· élan·,· ·(·我·)· a·/·b·$·\r\n",
    "deepseek-llm": "Don·'·t· · look·:·\n·\n· x·1234567· é·lan·,· (·我·)· a·/·b·$·\r·\n",
    "deepseek-coder": "Don·'·t· · look·:·\n·\n· x·1·2·3·4·5·6·7· élan·,· (·我·)· a·/·b·$·\r·\n",
    "deepseek-v3": "Don·'t· · look·:\n\n· x·123·456·7· élan·,· (·我·)· a·/b·$\r\n",
    "seed-coder": "Don·'t· · look·:·\n\n· x·1·2·3·4·5·6·7· élan·,· (·我·)· a·/b·$·\r\n",
    "bailingmoe": "Don·'t· · look·:\n\n· x·1·2·3·4·5·6·7· élan·,· (·我·)· a·/b·$\r\n",
    "minicpm5": "Don·'t· · look·:\n\n· x·123·456·7· élan·,· (·我·)· a·/b·$\r\n",
    "bloom": "Don't· · look:·\n\n· x1234567· élan·, (·我·)· a/b$·\r\n",
    "viking": "Don't· · look:·\n\n· x·1·2·3·4·5·6·7· élan·, (·我·)· a/b$·\r\n",
    "superbpe": "Don't  look:\n\n x·1·234·567· élan, (我) a/b$\r\n",
}
TEXTS = (
    *MULTILINGUAL,
    *AWKWARD,
    "Don't you?\n\n  1234567 x12 élan, нет (我) a/b\r\n",
    "IT'S we'LL a'ſ they'Re o'Clock",
    "\u2028x \u00a0y \x85z  \t\tq",
    "x=1;\n\n\ty  = $12.50 + `z` <= ^~|",
    "½ ² ٣٤٥ Ⅷ 12,345.678",
    "helloWorld HTTPServer camelCase/snake_case//path",
)
# llama.cpp adapts these expressions in a way that ends a word at a combining mark.
ADAPTED = {name for name, split in WORD_SPLITS.items() if r"\p{M}]*[" in split.patterns[0]}


@cache
def vocabulary() -> tuple[list[str], list[str]]:
    """Tokens and merges; learnt without splits, so that each split shows in the ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(  # type: ignore[assignment]
        add_prefix_space=False, use_regex=False
    )
    trainer = trainers.BpeTrainer(
        vocab_size=3000,
        special_tokens=["<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        max_token_length=16,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [" ".join(m) for m in model["merges"]]


def fields(name: str) -> Fields:
    tokens, merges = vocabulary()
    values = {
        "model": "gpt2",
        "pre": name,
        "tokens": tokens,
        "token_type": [Kind.CONTROL] * 2 + [Kind.NORMAL] * (len(tokens) - 2),
        "merges": merges,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    return as_fields({f"tokenizer.ggml.{key}": value for key, value in values.items()})


@cache
def converted(name: str) -> Tokenizer:
    return Tokenizer.from_str(read_gguf_vocabulary(fields(name)).tokenizer_json)


@pytest.mark.parametrize("name", WORDS)
def test_words_of_a_sentence(name: str) -> None:
    splitter = converted(name).pre_tokenizer
    assert splitter is not None
    words = [SENTENCE[at:to] for _, (at, to) in splitter.pre_tokenize_str(SENTENCE)]
    assert words == WORDS[name].split("·")


def test_every_name_has_one_of_these_splits() -> None:
    assert set(WORD_SPLITS) >= set(WORDS)
    by_hand = {WORD_SPLITS[name].patterns for name in WORDS}
    assert {split.patterns for split in WORD_SPLITS.values()} == by_hand


@pytest.mark.parametrize("name", WORD_SPLITS)
def test_ids_are_those_of_llama_cpp(name: str, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip(
        "llama_cpp", reason="pip install llama-cpp-python (compiles llama.cpp)"
    )
    original = llama_cpp.Llama(str(_file(tmp_path, name)), vocab_only=True, verbose=False)
    tokenizer = converted(name)
    compared = [text for text in TEXTS if not (name in ADAPTED and _has_marks(text))]
    assert len(compared) > len(TEXTS) // 2
    for text in compared:
        if tokenizer.normalizer is not None:  # llama.cpp leaves normalisation out
            text = tokenizer.normalizer.normalize_str(text)
        want = original.tokenize(text.encode(), add_bos=False, special=True)
        assert tokenizer.encode(text, add_special_tokens=False).ids == want, repr(text)
    begins = original.tokenize(b"a", add_bos=True)[0] == 0
    assert (begin_token(tokenizer.to_str()) == 0) == begins


def _has_marks(text: str) -> bool:
    import unicodedata

    return any(unicodedata.category(c).startswith("M") for c in text)


def _file(folder: Path, name: str) -> Path:
    """A model of no tensors with this vocabulary."""
    gguf = pytest.importorskip("gguf", reason="needs the package gguf (the extra `import`)")
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    for key in ("context_length", "embedding_length", "feed_forward_length", "head_count"):
        getattr(writer, f"add_{key}")(8)
    writer.add_block_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens, merges = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(tokens)
    writer.add_token_types([Kind.CONTROL] * 2 + [Kind.NORMAL] * (len(tokens) - 2))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for step in ("header", "kv_data", "tensors"):
        getattr(writer, f"write_{step}_to_file")()
    writer.close()
    return folder / "model.gguf"
