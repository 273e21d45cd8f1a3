"""The toy pair put to use: an engine over it, and a subject for the checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tandem_export.runtime.engine import Engine
from tandem_export.runtime.request.admission import Limits
from tandem_export.runtime.rounds.protocol import RoundKind, Steps
from tandem_export.runtime.testing.subject import Subject
from tandem_export.runtime.testing.toy import CACHE, DRAFTER, PRIMARY, ToyExecutor, ToyModel, V


def toy_subject(make: Callable[..., Steps] = ToyExecutor, *, independent: bool = False) -> Subject:
    """Returns a toy executor under test, for the checks; `make` may be something that wraps it."""

    def primary(tokens: Sequence[int]) -> np.ndarray:
        return np.stack([PRIMARY.logits(np.array(tokens), at) for at in range(len(tokens))])

    def drafter(tokens: Sequence[int], known: int) -> np.ndarray:
        del known  # the toy's drafter sees tokens, not the primary
        return DRAFTER.logits(np.array(tokens), len(tokens) - 1)

    return Subject(
        make=lambda: make(2, PRIMARY, DRAFTER, independent=independent),
        primary=primary,
        drafter=drafter,
        gamma=3,
        independent=independent,
    )


def primary_text(model: ToyModel, prompt: Sequence[int], count: int) -> list[int]:
    """Returns greedy decoding of one model, in the plainest way."""
    tokens = np.array([*prompt, *[0] * count])
    for at in range(len(prompt), len(tokens)):
        tokens[at] = np.argmax(model.logits(tokens, at - 1))
    return tokens[len(prompt) :].tolist()


def toy_tokenizer() -> Tokenizer:
    """Returns a tokenizer of 13 tokens; ids 7 and 8 are the two bytes of 'é'."""
    pieces = ["<end>", "a", "b", "c", "ab", "Ġthe", "Ġ", "Ã", "©", "y", "z", "!", "?"]
    tokenizer = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<end>"])  # pyright: ignore[reportUnknownMemberType]
    return tokenizer


def toy_engine(
    batch: int = 2,
    *,
    drafter: ToyModel = DRAFTER,
    end: frozenset[int] = frozenset(),
    driver: str = "fused",
    independent: bool = False,
    batches: Sequence[int] = (),
) -> tuple[Engine, ToyExecutor]:
    """Returns an engine over a toy pair, and its executor.

    Args:
      batch: slots.
      batches: other numbers of them that the engine may change to.
      drafter: the primary with noise by default.
      end: tokens that end an answer.
      driver: `fused`, or `steps`.
      independent: the drafter keeps a cache of its own.
    """
    executor = ToyExecutor(batch, PRIMARY, drafter, independent=independent, batches=batches)
    limits = Limits(
        batch=batch,
        cache=CACHE,
        vocab_size=V,
        gammas={"round": (0, 3, 5), "round_router": (3, 5)},
        gamma=3,
        tau=0.5,
        end_tokens=end,
    )
    kinds = [
        RoundKind(role=role, gamma=g) for role, gammas in limits.gammas.items() for g in gammas
    ]
    for steps in (False, True):
        executor.warm_up(kinds, steps=steps)
    engine = Engine(executor, limits, toy_tokenizer(), driver=driver, independent=independent)
    return engine, executor
