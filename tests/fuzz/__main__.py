"""Fuzzes the surfaces and prints a table; exit code 1 if any case did not end well.

python -m tests.fuzz --cases 1000 --seed 1                every surface
python -m tests.fuzz --surface manifest --case 1234       one case, with its traceback
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.pool import Limits, Tally, run_surface
from tests.fuzz.surfaces import SURFACES

# A surface that is not cheap gets this share of the cases.
SHARE = 0.001
# Seconds between two notes of the table so far.
EVERY = 5.0
COLUMNS = ("surface", "cases", "accepted", "typed", "untyped", "hangs", "crashes", "MB", "outside")


def table(tallies: dict[str, Tally]) -> str:
    """The tallies as lines of text, their sum last."""
    rows = [COLUMNS, *(_row(name, tally) for name, tally in sorted(tallies.items()))]
    sums = [sum(int(row[i]) for row in rows[1:]) for i in range(1, 7)]
    most = max((tally.largest_mb for tally in tallies.values()), default=0)
    rows.append(("all", *map(str, sums), str(most), str(sum(int(row[8]) for row in rows[1:]))))
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    for name, tally in sorted(tallies.items()):
        lines += [f"{name} --case {case}: {how}" for how, case in sorted(tally.examples.items())]
        for what in ("hangs", "crashes", "outside"):
            lines += [f"{name} --case {case}: {what}" for case in getattr(tally, what)[:5]]
    return "\n".join(lines)


def _row(name: str, tally: Tally) -> tuple[str, ...]:
    counts = (tally.cases, tally.accepted, tally.typed, sum(tally.untyped.values()))
    counts += (len(tally.hangs), len(tally.crashes), tally.largest_mb, len(tally.outside))
    return (name, *map(str, counts))


def run(
    names: list[str], cases: int, *, seed: int, first: int, workers: int, out: Path | None
) -> dict[str, Tally]:
    """Runs `cases` cheap cases in all, a few more of the others; the table so far goes to `out`."""
    cheap = [name for name in names if SURFACES[name].cheap]
    each = {n: -(-cases // max(len(cheap), 1)) if n in cheap else _few(cases) for n in names}
    tallies: dict[str, Tally] = {}
    written = [time.monotonic()]

    def note(name: str, tally: Tally) -> None:
        tallies[name] = tally
        if out is not None and time.monotonic() > written[0] + EVERY:
            written[0] = time.monotonic()
            out.write_text(table(dict(tallies)) + "\n")

    def one(name: str) -> None:
        tally = run_surface(
            name,
            seed=seed,
            first=first,
            cases=each[name],
            limits=Limits(clock=600.0) if out else None,
            each=lambda tally: note(name, tally),
        )
        note(name, tally)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, names))
    return tallies


def _few(cases: int) -> int:
    return max(1, int(cases * SHARE))


def run_one(name: str, seed: int, case: int) -> None:
    """One case in this process; its traceback goes to stderr."""
    prepare, run = SURFACES[name].load()
    with tempfile.TemporaryDirectory() as folder:
        inside, outside = Path(folder, "inside"), Path(folder, "outside")
        inside.mkdir()
        outside.mkdir()
        (outside / "secret").write_text("{}")
        material = prepare(inside)
        try:
            run(random.Random(f"{name}/{seed}/{case}"), inside, material)
        except BaseException:
            traceback.print_exc()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=1000, help="of all cheap surfaces together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--surface", action="append", choices=sorted(SURFACES))
    parser.add_argument("--case", type=int, help="runs this one case here")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="keeps the table so far in this file")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    names = args.surface or sorted(SURFACES)
    if args.case is not None:
        run_one(names[0], args.seed, args.case)
        return
    tallies = run(
        names, args.cases, seed=args.seed, first=args.first, workers=args.workers, out=args.out
    )
    text = table(tallies)
    print(json.dumps({n: vars(t) for n, t in tallies.items()}) if args.json else text)
    if args.out is not None:
        args.out.write_text(text + "\n")
    sys.exit(0 if all(tally.good for tally in tallies.values()) else 1)


if __name__ == "__main__":
    main()
