r"""How byte-level vocabularies split a text into words, by GGUF's `tokenizer.ggml.pre`.

The names, the expressions, and what else a name decides are facts from llama.cpp
(`src/llama-vocab.cpp`, `llm_tokenizer_bpe` and `llama_vocab::impl::load`). Where llama.cpp quotes
the expression of the model's own tokenizer beside an adapted one, the model's is taken: the two
differ in words with combining marks (`tekken`, `gpt-4o`). Expressions are applied one after the
other, each to what the one before left; text between two matches is a word, too.

Left out are the names that llama.cpp does not compute by expressions over bytes: `kimi-k2`,
`afmoe` (handlers of their own), `gemma4`, `sarvam-moe`, `whitespace` (no bytes), and those of
encoders, which put a separator after the text.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WordSplit:
    """What a name means.

    Attributes:
      patterns: regular expressions, in the order in which they are applied.
      whole_words: a word that is a token is taken as it is, whatever the merges would make of it.
      begins: a begin token goes before a text where the file does not say.
      composed: the text is normalised to NFC first, as Qwen's own tokenizer does.
    """

    patterns: tuple[str, ...]
    whole_words: bool = False
    begins: bool = False
    composed: bool = False


_SUFFIX = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_REST = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
_PATHS = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = rf"{_SUFFIX}|{_WORD}|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{_SUFFIX}|{_WORD}|\p{{N}}|{_REST}"
# A word in two kinds of case: letters in upper case, then in lower case.
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_MIXED = r"[^\r\n\p{L}\p{N}]?"
_TEKKEN = rf"{_MIXED}{_UPPER}*{_LOWER}+|{_MIXED}{_UPPER}+{_LOWER}*|\p{{N}}|{_PATHS}"
_GPT4O = (
    rf"{_MIXED}{_UPPER}*{_LOWER}+{_SUFFIX}?|{_MIXED}{_UPPER}+{_LOWER}*{_SUFFIX}?"
    rf"|\p{{N}}{{1,3}}|{_PATHS}"
)
_SENTENCES = r" ?[^(\s|.,!?…。，、।۔،)]+"  # noqa: RUF001 (full-width marks)
# DeepSeek: letters of alphabets that have cases, then punctuation, then East Asian scripts.
_ALPHABETS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1"
    "\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd"
    "\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d"
    "\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
    "\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec"
    "\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    "\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b"
    "\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787"
    "\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_MARKS = "!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002"
_EAST_ASIAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACES}"
)

_SPLITS = {
    "default": WordSplit(
        patterns=(r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    ),
    "llama-bpe": WordSplit(patterns=(_LLAMA3,), whole_words=True, begins=True),
    "dbrx": WordSplit(patterns=(_LLAMA3,)),
    "qwen2": WordSplit(patterns=(_QWEN2,), composed=True),
    "deepseek-r1-qwen": WordSplit(patterns=(_QWEN2,)),
    "qwen35": WordSplit(
        patterns=(
            rf"{_SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
            rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACES}",
        ),
        composed=True,
    ),
    "ufakzeka": WordSplit(patterns=(rf"{_WORD}|\p{{N}}|{_REST}",)),
    "tekken": WordSplit(patterns=(_TEKKEN,), whole_words=True, begins=True),
    "gpt-4o": WordSplit(patterns=(_GPT4O,)),
    "gpt-2": WordSplit(patterns=(_GPT2,)),
    "smollm": WordSplit(patterns=(r"\p{N}", _GPT2)),
    "falcon": WordSplit(patterns=(r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]")),
    "deepseek-llm": WordSplit(
        patterns=(
            r"[\r\n]",
            rf"\s?[{_ALPHABETS}]+",
            rf"\s?[{_MARKS}]+",
            r"\s+$",
            _EAST_ASIAN,
            r"\p{N}+",
        ),
    ),
    "deepseek-coder": WordSplit(
        patterns=(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _EAST_ASIAN, r"\p{N}"),
    ),
    "deepseek-v3": WordSplit(
        patterns=(r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", _DEEPSEEK),
    ),
    "seed-coder": WordSplit(
        patterns=(rf"{_SUFFIX}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACES}",),
    ),
    "bailingmoe": WordSplit(
        patterns=(
            rf"'(?i:[sdmt]|ll|ve|re)|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
            r"|\s*[\r\n]|\s+(?!\S)|\s+",
        ),
    ),
    "minicpm5": WordSplit(
        patterns=(r"\p{N}{1,3}", rf"{_SUFFIX}|{_WORD}|\p{{N}}+|{_REST}"), whole_words=True
    ),
    "bloom": WordSplit(patterns=(_SENTENCES,)),
    "viking": WordSplit(patterns=(_SENTENCES, r"\p{N}")),
    "superbpe": WordSplit(patterns=(r"\p{N}+", r"(?=(\d{3})+(?!\d))")),
}
# Other names of the same splits.
_ALIASES = {
    "llama-bpe": ("llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
    "dbrx": ("smaug-bpe", "glm4", "chatglm-bpe"),
    "deepseek-r1-qwen": ("kormo", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"),
    "gpt-4o": ("llama4", "kanana2", "minimax-m2"),
    "gpt-2": (
        *("phi-2", "gigachat", "a.x-4.0", "mellum", "exaone4", "mpt", "olmo", "jais"),
        *("trillion", "granite-docling"),
    ),
    "smollm": ("starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"),
    "deepseek-v3": ("hunyuan-dense", "joyai-llm"),
    "bailingmoe": ("bailingmoe2", "llada-moe"),
    "bloom": ("poro-chat", "gpt3-finnish"),
}

# By `tokenizer.ggml.pre`.
WORD_SPLITS = _SPLITS | {
    alias: _SPLITS[name] for name, aliases in _ALIASES.items() for alias in aliases
}
