"""P0: SPEED's tokens are the primary's own at the same width, bit for bit, and so are its values.

Greedy output is compared under both drivers, each with the primary alone under the same driver:
single steps by the full logits `[V]` of every committed place, fused rounds by the
log-probabilities that they return. Sampled output is compared under fused rounds only: its logits
come from the same primary blocks, and the host's draws are tested against the graphs' elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from tandem_export.parity.report import Check
from tandem_export.parity.requests import GREEDY, Sampling, drafting_modes, requests
from tandem_export.parity.subject import DRIVERS, Prompts, Subject
from tandem_export.parity.trace import Trace, differences

_VALUES = {"steps": "logits", "fused": "log-probabilities"}


def check_exact(
    subjects: Sequence[Subject],
    gamma: int,
    sampling: Sampling,
    prompts: Prompts,
    *,
    max_new_tokens: int,
) -> Iterator[Check]:
    """Checks one gamma and batch; the first of `subjects` is what all are compared with.

    The primary alone is the same graph with one real token per call and padding after it.
    """
    ask = partial(
        requests, len(prompts), gamma=gamma, sampling=sampling, max_new_tokens=max_new_tokens
    )
    drivers = ("steps", "fused") if sampling is GREEDY else ("fused",)
    alone = {driver: subjects[0].run(driver, prompts, ask("primary")) for driver in drivers}
    if sampling is GREEDY:
        claim = "greedy: the primary alone, fused against single steps: tokens"
        case = _case(subjects[0], gamma, "primary")
        yield _check(claim, alone["steps"], alone["fused"], case, values=False)
    for subject in subjects:
        for mode in drafting_modes(subject.limits, gamma):
            for driver, reference in alone.items():
                claim = f"{sampling.name}, {subject.name}, {DRIVERS[driver]}: tokens and "
                traces = subject.run(driver, prompts, ask(mode))
                case = _case(subject, gamma, mode)
                yield _check(claim + _VALUES[driver], reference, traces, case, values=True)


def _case(subject: Subject, gamma: int, mode: str) -> str:
    return f"batch {subject.limits.batch}, gamma {gamma}, {mode}, {subject.name}"


def _check(
    claim: str, reference: list[Trace], traces: list[Trace], case: str, *, values: bool
) -> Check:
    divergences = differences(reference, traces, case, values=values)
    return Check(
        level="P0",
        claim=claim,
        cases=len(traces),
        tokens=sum(len(trace.tokens) for trace in traces),
        passed=not divergences,
        divergences=tuple(divergences),
    )
