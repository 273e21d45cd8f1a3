"""The slots that one executor holds in a served model."""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from tandem_export.errors import ServingError
from tandem_export.serving import Model, NotHeld


@dataclass(frozen=True, kw_only=True)
class Held:
    """Slots under one owner id: one for each row, and one to prefill in.

    `epoch` is the model instance's own number; another one means that all slots are gone.
    """

    owner: int
    rows: tuple[int, ...]
    staging: int
    epoch: int


class Slots:
    """Claims slots when they are needed, under a new owner id each time, and gives them back.

    A call that got no answer may still run later. Nothing is repeated under its owner id: the slots
    are freed and others claimed, so that the late call is refused.
    """

    def __init__(self, model: Model, batch: int) -> None:
        self._model, self._batch = model, batch
        self._held: Held | None = None
        # Owners whose slots have to be freed; shared with the finalizer.
        self._owners: list[int] = []
        self._finalizer = weakref.finalize(self, _free_if_there, model, self._owners, os.getpid())

    @property
    def held(self) -> Held | None:
        """What is held now."""
        return self._held

    def claim(self) -> Held:
        """Claims slots for all rows, if none are held.

        Raises:
          RequestError: the model has too few free slots.
          ServingError: the server does not answer.
        """
        if self._held is None:
            _free(self._model, self._owners)
            owner = 1 + secrets.randbelow(2**31 - 1)
            self._owners.append(owner)
            answers = [self._call("claim", owner) for _ in range(self._batch + 1)]
            *rows, staging = (int(answer["slots"][0]) for answer in answers)
            epochs = {int(answer["epoch"]) for answer in answers}
            if len(epochs) != 1:
                raise NotHeld("the model changed while slots were claimed")
            held = Held(owner=owner, rows=tuple(rows), staging=staging, epoch=epochs.pop())
            self._held = held
        return self._held

    def _call(self, signature: str, owner: int) -> dict[str, np.ndarray]:
        return self._model.call(signature, {"owner": np.array([owner], np.int32)})

    def drop(self) -> None:
        """Holds nothing any more; the server is told before the next claim."""
        self._held = None

    def check(self, answer: Mapping[str, np.ndarray]) -> None:
        """Compares the epoch of a session call's answer.

        Raises:
          NotHeld: another instance of the model answered.
        """
        if self._held is not None and int(answer["epoch"]) != self._held.epoch:
            rule = f"the model's epoch must be {self._held.epoch}"
            raise NotHeld(f"{rule}, or its slots are lost. Got: {int(answer['epoch'])}")

    def close(self) -> None:
        """Frees the slots; without it, they are freed when this object is collected."""
        self._held = None
        self._finalizer()


def _free(model: Model, owners: list[int]) -> None:
    while owners:
        model.call("release", {"owner": np.array([owners[-1]], np.int32)})
        owners.pop()


def _free_if_there(model: Model, owners: list[int], process: int) -> None:
    if os.getpid() != process:
        return  # a forked child ends; the slots are its parent's
    # A server that cannot be asked any more is left alone: nobody waits for an answer here.
    with suppress(ServingError):
        _free(model, owners)
