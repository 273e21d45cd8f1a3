"""What a request may ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, cast, get_args

from tandem_export.contract import AcceptanceRule
from tandem_export.errors import ConfigError
from tandem_export.values import are_whole, are_words, is_real, is_whole

Mode = Literal["speed", "router", "standalone", "standalone_free", "primary", "drafter"]
MODES: tuple[Mode, ...] = get_args(Mode)
RULES = {"leviathan": AcceptanceRule.LEVIATHAN, "gumbel": AcceptanceRule.GUMBEL}


def _are_biases(values: object) -> bool:
    if not isinstance(values, tuple):
        return False
    pairs = cast("tuple[object, ...]", values)
    return all(_is_bias(pair) for pair in pairs)


def _is_bias(value: object) -> bool:
    if not isinstance(value, tuple):
        return False
    pair = cast("tuple[object, ...]", value)
    return len(pair) == 2 and is_whole(pair[0], 0) and is_real(pair[1], -1e4, 1e4)


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """Options of one request. None means an option's default, as many clients send it.

    Attributes:
      max_new_tokens: longest answer, in tokens; a stop token counts.
      temperature: 0 is greedy; a score over less than 1e-6 may be no float32.
      top_k, top_p, min_p: filters, applied in this order; 0, 1 and 0 are off.
      seed: 64 bits. Sample 0 of a request has this seed, sample i one derived from (seed, i).
      rule: how drafts are judged when sampling. `leviathan` accepts most and has the primary's
        distribution (P2); `gumbel` gives the very text that the primary gives for this seed (P0).
      stop: strings that end the answer; the text is cut before them.
      stop_token_ids: end the answer besides the bundle's end tokens.
      min_tokens: a stop token or stop string that comes before the answer has as many does not end
        it, and stays in it.
      logit_bias: (token id, nats) pairs, added to both models' logits before temperature and
        filters; log-probabilities are without it. Needs rounds that the host puts together.
      allowed_token_ids: no other token is drafted or chosen; () allows all. As `logit_bias`.
      ignore_end_tokens: go on past the bundle's end tokens.
      logprobs: return each token's log-probability (the primary's, at temperature 1; in mode
        `drafter` the drafter's).
      num_samples: answers to one prompt; it is prefilled once.
      mode: `speed` drafts gamma tokens, then verifies; `router` lets the router end a draft early;
        `standalone` takes every draft unverified, `standalone_free` adds the primary's own token
        to each block; `primary` and `drafter` run one model alone.
      gamma: longest draft; None is the engine's. Without meaning for `primary` and `drafter`.
      tau: router threshold; None is the checkpoint's.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    rule: Literal["leviathan", "gumbel"] = "leviathan"
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    min_tokens: int = 0
    logit_bias: tuple[tuple[int, float], ...] = ()
    allowed_token_ids: tuple[int, ...] = ()
    ignore_end_tokens: bool = False
    logprobs: bool = False
    num_samples: int = 1
    mode: Mode = "speed"
    gamma: int | None = None
    tau: float | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError that names the option, its rule and what came."""
        for option in fields(self):
            if getattr(self, option.name) is None:
                object.__setattr__(self, option.name, option.default)
        for name in ("max_new_tokens", "num_samples"):
            self._check(name, is_whole(getattr(self, name), 1), "an int of at least 1")
        ok = is_whole(self.min_tokens, 0, self.max_new_tokens)
        self._check("min_tokens", ok, f"an int of 0 .. max_new_tokens, {self.max_new_tokens}")
        self._check("top_k", is_whole(self.top_k, 0), "an int of at least 0 (0 is off)")
        self._check("seed", is_whole(self.seed, 0, 2**64 - 1), "an int of 0 .. 2**64 - 1")
        ok = is_real(self.temperature, 1e-6, 1e6) or is_real(self.temperature, 0, 0)
        self._check("temperature", ok, "0 (greedy), or a number of 1e-6 .. 1e6")
        ok = is_real(self.top_p, 0, 1) and self.top_p > 0
        self._check("top_p", ok, "a number above 0, at most 1 (1 is off)")
        self._check("min_p", is_real(self.min_p, 0, 1), "a number of 0 .. 1 (0 is off)")
        for name, names in (("rule", tuple(RULES)), ("mode", MODES)):
            value = getattr(self, name)
            self._check(name, isinstance(value, str) and value in names, f"one of {names}")
        for name in ("ignore_end_tokens", "logprobs"):
            self._check(name, isinstance(getattr(self, name), bool), "True or False")
        self._check_stops()
        ok = self.gamma is None or is_whole(self.gamma, 1)
        self._check("gamma", ok, "None or an int of at least 1 (for 0 use mode 'primary')")
        ok = self.tau is None or is_real(self.tau, 0, 1)
        self._check("tau", ok, "None or a number of 0 .. 1")

    def _check(self, name: str, ok: bool, rule: str) -> None:
        if not ok:
            raise ConfigError(f"`{name}` must be {rule}. Got: {getattr(self, name)!r}")

    def _check_stops(self) -> None:
        self._check("stop", are_words(self.stop) and all(self.stop), "a tuple of non-empty strings")
        for name in ("stop_token_ids", "allowed_token_ids"):
            self._check(name, are_whole(getattr(self, name), 0), "a tuple of token ids")
        self._check(
            "logit_bias",
            _are_biases(self.logit_bias),
            "a tuple of (token id, number of -1e4 .. 1e4) pairs",
        )

    @property
    def biases(self) -> bool:
        """Whether it changes logits before they are sampled."""
        return bool(self.logit_bias or self.allowed_token_ids)

    @property
    def graph_rule(self) -> AcceptanceRule:
        """The rule that the graphs apply for this mode."""
        if self.mode == "standalone":
            return AcceptanceRule.STANDALONE
        if self.mode == "standalone_free":
            return AcceptanceRule.STANDALONE_FREE
        return RULES[self.rule]
