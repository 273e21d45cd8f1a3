"""What a plan comes to: its conclusion in words, and the command that builds it."""

from __future__ import annotations

import shlex

from tandem_export.tpu.plan.planner import Plan, PlannedBucket


def conclusion(plan: Plan) -> str:
    """Returns a few sentences: what is fastest, what drafting gains, what memory it takes."""
    target, buckets = plan.options.target, plan.buckets
    top = max(buckets, key=lambda bucket: bucket.best.tokens_per_second)
    limit = target.hbm_bytes / 2**30
    return (
        f"Most tokens per second: {top.best.tokens_per_second:.0f}, with batch {top.batch} and "
        f"{_drafting(top)}. {_gain(buckets)} At most {_most_memory(buckets):.2f} of "
        f"{limit:.2f} GiB are used on {'the chip' if target.chips == 1 else 'each chip'}."
    )


def build_command(plan: Plan) -> str:
    """Returns the command that builds the plan's buckets.

    A preset and a file of configs have no weights: CHECKPOINT stands for those that fit them.
    """
    gammas = sorted({bucket.best.gamma for bucket in plan.buckets} - {0}) or [1]
    has_weights = plan.pair.startswith("demo:") or "/" in plan.pair
    source = plan.pair if has_weights and not plan.pair.endswith(".toml") else "CHECKPOINT"
    options = {
        "--batch": ",".join(str(bucket.batch) for bucket in plan.buckets),
        "--gamma": ",".join(map(str, gammas)),
        "--cache": str(plan.options.cache),
        "--dtype": "bfloat16",
        "--platform": "tpu",
    }
    if plan.options.storage == "int8":
        options["--quantize"] = "int8"
    pairs = " ".join(f"{name} {value}" for name, value in options.items())
    return f"tandem-export build {shlex.quote(source)} --out DIR {pairs}"


def _drafting(bucket: PlannedBucket) -> str:
    return f"gamma {bucket.best.gamma}" if bucket.best.gamma else "no drafting"


def _gain(buckets: tuple[PlannedBucket, ...]) -> str:
    first, last = buckets[0], buckets[-1]
    if not any(bucket.best.gamma for bucket in buckets):
        return "Drafting does not pay in any bucket."
    gain = f"At batch {first.batch} this is {first.best.speed_up:.2f} times"
    if last.batch != first.batch:
        gain += f", at batch {last.batch} {last.best.speed_up:.2f} times"
    return f"{gain} as fast as the primary alone."


def _most_memory(buckets: tuple[PlannedBucket, ...]) -> float:
    return max(bucket.memory.total for bucket in buckets) / 2**30
