"""Calls of a SavedModel's signatures, and the inputs that they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tandem_export.serving import Model


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def sampling(batch: int, **changed: Any) -> dict[str, np.ndarray]:
    """A round's sampling inputs: greedy, three drafts."""
    made = {
        "temperature": floats(*[0] * batch),
        "top_k": ints(*[0] * batch),
        "top_p": floats(*[1] * batch),
        "min_p": floats(*[0] * batch),
        "seed": np.zeros((batch, 2), np.uint32),
        "rule": ints(*[0] * batch),
        "max_draft": ints(*[3] * batch),
    }
    return made | changed


def generating(
    prompts: Sequence[Sequence[int]], width: int, new: int, **changed: Any
) -> dict[str, np.ndarray]:
    """Inputs of `generate`."""
    batch = len(prompts)
    padded = [[*prompt, *[0] * (width - len(prompt))] for prompt in prompts]
    made = {
        "tokens": np.array(padded, np.int32),
        "length": ints(*map(len, prompts)),
        "max_new_tokens": ints(*[new] * batch),
        "stop_tokens": np.full((batch, 8), -1, np.int32),
        "tau": floats(*[0] * batch),
    }
    return made | sampling(batch) | changed


class Session:
    """One slot of a model under an owner of its own."""

    def __init__(self, model: Model, owner: int) -> None:
        self.model, self.owner = model, ints(owner)
        self.slot = int(model.call("claim", {"owner": self.owner})["slots"][0])

    def call(self, signature: str, **inputs: Any) -> dict[str, np.ndarray]:
        slots = {"slots": ints(self.slot), "owner": self.owner}
        return self.model.call(signature, slots | inputs)

    def start(self, prompt: Sequence[int], budget: int) -> None:
        """Prefills a prompt of at most 5 tokens."""
        block = [*prompt[:-1], *[0] * (5 - len(prompt))]
        if len(prompt) > 1:
            self.call("prefill_b1_t4", tokens=np.array([block], np.int32), start=ints(0))
        self.call(
            "insert",
            target=ints(self.slot),
            position=ints(len(prompt) - 1),
            last=ints(prompt[-1]),
            previous=ints(prompt[-2:][0]),
            budget=ints(budget),
        )

    def round(self, gamma: int, **changed: Any) -> list[int]:
        out = self.call(f"round_b1_g{gamma}", **sampling(1, **changed))
        return out["tokens"][0, : out["count"][0]].tolist()

    def close(self) -> None:
        self.model.call("release", {"owner": self.owner})
