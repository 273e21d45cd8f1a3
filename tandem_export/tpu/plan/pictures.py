"""The pictures of a plan, as SVG text."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tandem_export.tpu.chips import Slice
from tandem_export.tpu.plan.costs import Run
from tandem_export.tpu.plan.planner import Plan

# Text stays text: it can be searched and read out, and the file stays small. Fixed ids: the same
# plan gives the same file.
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "tandem-export", "font.size": 9}
_PARTS = ("weights", "primary_cache", "drafter_cache", "temporaries")


def speed_picture(plan: Plan) -> str:
    """Draws expected tokens per second against gamma, a line for each batch bucket."""

    def draw(axes: Axes) -> None:
        for bucket in plan.buckets:
            gammas = [speed.gamma for speed in bucket.curve]
            rates = [speed.tokens_per_second for speed in bucket.curve]
            [line] = axes.plot(gammas, rates, marker=".", label=f"batch {bucket.batch}")
            best = bucket.best
            axes.plot(best.gamma, best.tokens_per_second, "o", ms=9, color=line.get_color())
        axes.set_yscale("log")
        axes.set_xlabel("gamma: drafts in a round (0: no speculation)")
        axes.set_ylabel("expected tokens per second, all rows")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    return _svg(draw)


def memory_picture(plan: Plan) -> str:
    """Returns bytes on one chip by part, a bar for each batch bucket, against the limit."""

    def draw(axes: Axes) -> None:
        names = [f"batch {bucket.batch}" for bucket in plan.buckets]
        base = [0.0] * len(names)
        for part in _PARTS:
            sizes = [getattr(bucket.memory, part) / 2**30 for bucket in plan.buckets]
            axes.barh(names, sizes, left=base, label=part.replace("_", " "))
            base = [low + size for low, size in zip(base, sizes, strict=True)]
        limit = plan.options.target.hbm_bytes / 2**30
        axes.axvline(limit, color="black", linestyle="--", label=f"limit, {limit:.2f} GiB")
        axes.set_xlabel("GiB on one chip")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    return _svg(draw)


def roofline_picture(plan: Plan) -> str:
    """Returns each graph's operations per byte, and what the chip can do at that intensity."""

    def draw(axes: Axes) -> None:
        target = plan.options.target
        ridge = target.flops / target.bandwidth
        intensity = [0.5, ridge, ridge * 4]
        limit = [min(target.flops, x * target.bandwidth) / 1e12 for x in intensity]
        axes.plot(intensity, limit, color="black", label=f"limit of {target.name}, one chip")
        for bucket in plan.buckets:
            batch, width = bucket.batch, bucket.widths[-1]
            block = _point(plan.costs.primary, target, batch, width)
            step = _point(plan.costs.drafter, target, batch, 1)
            [dot] = axes.plot(*block, "o", label=f"batch {batch}, check of {width} tokens")
            axes.plot(*step, "x", color=dot.get_color(), label=f"batch {batch}, draft step")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("operations per byte of memory traffic")
        axes.set_ylabel("TFLOP/s")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    return _svg(draw)


def _point(run: Run, target: Slice, batch: int, width: int) -> tuple[float, float]:
    flops = run.flops(batch, width)
    return flops / run.bytes(batch), flops / run.seconds(target, batch, width) / 1e12


def _svg(draw: Callable[[Axes], object]) -> str:
    """Returns what `draw` puts on one pair of axes."""
    text = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8.5, 3.6), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.grid(alpha=0.3)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
