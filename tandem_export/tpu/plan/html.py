"""The plan as one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape
from string import Template

from tandem_export.tpu.plan.advice import build_command, conclusion
from tandem_export.tpu.plan.pictures import memory_picture, roofline_picture, speed_picture
from tandem_export.tpu.plan.planner import Plan, PlannedBucket

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; white-space: nowrap; }
pre { background: #eee; padding: 0.6rem; white-space: pre-wrap; overflow-wrap: anywhere; }
/* A narrow screen scrolls a table or a picture by itself, and never the page. */
.wide { overflow-x: auto; }
.wide svg { min-width: 34rem; }
th, td { padding: 0.2rem 0.8rem; border-bottom: 1px solid #ccc; text-align: right; }
svg { max-width: 100%; height: auto; }
.note { color: #555; }
</style>
<h1>$title</h1>
<p>$conclusion</p>
<pre>$command</pre>
<p>$pair_text</p>
<p class="note">All times are the roofline: what the chip's memory and arithmetic allow at their
peak rates. Nothing here was measured on a TPU; a real one is slower.</p>
<div class="wide">$table</div>
<h2>Speed against draft length</h2>
<p>The small model drafts <i>gamma</i> tokens, the large one checks them in one run. A longer draft
gives more tokens a round and costs more steps of the small model. The large dot is the choice.
Lines end where the check would no longer be bound by memory: batch &times; (gamma + 1) &le;
$balance.</p>
<div class="wide">$speed</div>
<h2>Memory</h2>
<p>What one chip holds. A bar past the dashed line would not fit.</p>
<div class="wide">$memory</div>
<h2>Roofline</h2>
<p>Left of the corner a graph waits for memory and more rows cost nothing; right of it, for
arithmetic. Crosses are steps of the small model, dots the large model's checks.</p>
<div class="wide">$roofline</div>
</html>
""")
_COLUMNS = (
    "batch",
    "gamma",
    "tokens a round",
    "round, ms",
    "tokens/s",
    "speed-up over gamma 0",
    "memory, GiB",
    "lost by padding, mean",
    "at worst",
)


def page(plan: Plan) -> str:
    """Returns the report of `plan`."""
    target = plan.options.target
    return _PAGE.substitute(
        title=escape(f"{plan.pair} on {target.name}"),
        conclusion=escape(conclusion(plan)),
        command=escape(build_command(plan)),
        pair_text=escape(_pair_text(plan)),
        table=_table(plan.buckets),
        balance=target.balance(plan.options.storage),
        speed=speed_picture(plan),
        memory=memory_picture(plan),
        roofline=roofline_picture(plan),
    )


def _pair_text(plan: Plan) -> str:
    options, costs = plan.options, plan.costs
    step = costs.drafter.seconds(options.target, 1, 1) / costs.primary.seconds(options.target, 1, 1)
    return (
        f"Weights in {options.storage}, {costs.stored_bytes / 2**30:.2f} GiB a chip; "
        f"cache of {options.cache} positions, {costs.cache_bytes / 2**20:.0f} MiB a row and chip; "
        f"acceptance: {options.acceptance.source}; "
        f"a step of the small model costs {step:.2f} of the large one's."
    )


def _table(buckets: tuple[PlannedBucket, ...]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in _COLUMNS)
    rows = "".join(f"<tr>{_cells(bucket)}</tr>" for bucket in buckets)
    return f"<table><tr>{head}</tr>{rows}</table>"


def _cells(bucket: PlannedBucket) -> str:
    best = bucket.best
    values = (
        f"{bucket.batch}",
        f"{best.gamma}",
        f"{best.tokens:.2f}",
        f"{best.seconds * 1e3:.2f}",
        f"{best.tokens_per_second:.0f}",
        f"{best.speed_up:.2f}",
        f"{bucket.memory.total / 2**30:.2f}",
        f"{bucket.waste:.0%}",
        f"{bucket.worst_waste:.0%}",
    )
    return "".join(f"<td>{value}</td>" for value in values)
