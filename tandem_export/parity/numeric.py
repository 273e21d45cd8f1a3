"""P1: greedy tokens are those of the primary alone at width 1, but where its logits nearly tie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tandem_export.parity.report import Check
from tandem_export.parity.requests import GREEDY, drafting_modes, requests
from tandem_export.parity.subject import DRIVERS, Prompts, Subject
from tandem_export.parity.trace import Trace, differences

# The largest logit margin that still counts as a near-tie. Widths sum in other orders: logits of
# magnitude 10 move by some 1e-5 in float32; neighbouring bfloat16 values there are 0.0625 apart.
NEAR_TIE = {"float32": 1e-3, "bfloat16": 0.125}


def primary_alone(subject: Subject, prompts: Prompts, max_new_tokens: int) -> list[Trace]:
    """Returns the reference: the primary stepped at width 1."""
    params = requests(len(prompts), "primary", None, GREEDY, max_new_tokens=max_new_tokens)
    return subject.run("steps", prompts, params)


def check_numeric(
    subjects: Sequence[Subject],
    gamma: int,
    reference: list[Trace],
    prompts: Prompts,
    *,
    dtype: str,
    max_new_tokens: int,
) -> Iterator[Check]:
    """Checks one gamma and batch. After its first divergence an answer is not compared further."""
    tolerance = NEAR_TIE[dtype]
    for subject in subjects:
        for mode in drafting_modes(subject.limits, gamma):
            params = requests(len(prompts), mode, gamma, GREEDY, max_new_tokens=max_new_tokens)
            for driver in subject.drivers:
                traces = subject.run(driver, prompts, params)
                case = f"batch {subject.limits.batch}, gamma {gamma}, {mode}, {subject.name}"
                divergences = differences(reference, traces, case, values=False)
                margins = [d.margin for d in divergences if d.margin is not None]
                yield Check(
                    level="P1",
                    claim=f"greedy, {subject.name}, {DRIVERS[driver]}: tokens, "
                    f"up to margin {tolerance}",
                    cases=len(traces),
                    tokens=sum(len(trace.tokens) for trace in traces),
                    passed=all(margin <= tolerance for margin in margins),
                    divergences=tuple(divergences),
                )
