"""What each reshape is worth on held-out data: one lattice, with nothing beside it, and other ways in and out.

    python benchmarks/reshapes.py --data FOLDER [--sets faq wiki_weak] [--seeds 0 1] [--only ROW ...] [--json]

The recipe is configs/objectives/grouped.yaml in batches of 64; a row differs from another in what its name says, and
``linear surface`` in its lattice as well, since a face must hold all values. The core of the best epoch by validation
is scored once on the test groups, by the MRR within groups on ``faq``, and by MRR@10 elsewhere. Figures are means over
the seeds, with half the distance between the largest and the smallest.

Runs are kept in ``--output`` by set, row, seed and digests of code, data and recipe, so the program can be stopped
and goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from quality import CODE, ROOT, digest
from quality_maps import lock_of, trained_lattice
from quality_sets import SETS

from core_engine import Splits
from core_engine.log import configure_logging

RECIPE = "objectives/grouped"
#: Overrides of every row, and of each.
COMMON = ("train.batch_size=64",)
ROWS: dict[str, tuple[str, ...]] = {
    "linear": ("reshape={type: linear, channels: 24}",),
    "linear variance": ("reshape={type: linear, channels: 24, order: variance}",),
    "linear correlation": ("reshape={type: linear, channels: 24, order: correlation}",),
    "linear surface": ("reshape={type: linear, channels: 24, placement: surface}", "lattice.size=[4, 4, 2]"),
    "projection principal, fixed": ("reshape={type: projection, channels: 24, init: principal, rank: 0}",),
    "projection whitening, fixed": ("reshape={type: projection, channels: 24, init: whitening, rank: 0}",),
    "projection principal, rank 2": ("reshape={type: projection, channels: 24, init: principal, rank: 2}",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with faq and wiki")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["faq", "wiki_weak"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), help="rows (default: all)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "reshapes", help="folder of the runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    arguments = parser.parse_args()
    configure_logging(-1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    of_data = digest(arguments.data.glob("*/*.jsonl"))
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name in arguments.sets:
        data = SETS[name].embed(arguments.data.resolve())
        found[name] = {row: [] for row in arguments.only}
        for seed in arguments.seeds:
            for row in arguments.only:
                found[name][row].append(kept(arguments.output, name, data, row, seed, of_data))
                print(f"{name} {row} seed {seed}: {found[name][row][-1]}", file=sys.stderr, flush=True)
    print(json.dumps(found)) if arguments.json else show(found)


def kept(folder: Path, name: str, data: Splits, row: str, seed: int, of_data: str) -> dict[str, Any]:
    """The run's figures, from its file, or trained now."""
    overrides = (*COMMON, *ROWS[row])
    key = hashlib.sha256(json.dumps([name, seed, lock_of(RECIPE, *overrides), CODE, of_data]).encode()).hexdigest()[:16]
    path = folder / f"{name}-{row.replace(' ', '-').replace(',', '')}-{seed}-{key}.json"
    if not path.exists():
        _, result = trained_lattice(RECIPE, SETS[name], data, seed, *overrides)
        metric = SETS[name].metric
        figures = {
            "parameters": result.parameters,
            "validation": result.validation[metric],
            "test": result.test[metric],
            "untrained": result.untrained[metric],
            "train_s": result.seconds_by_phase["train"],
        }
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(figures) + "\n", encoding="utf-8")
        beside.rename(path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def show(found: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    for name, rows in found.items():
        print(f"\n{name}\n\n| reshape | parameters | seeds | validation | test | test, untrained |")
        print("|---|---|---|---|---|---|")
        for row, runs in rows.items():
            cells = [spread([run[split] for run in runs]) for split in ("validation", "test", "untrained")]
            print(f"| {row} | {runs[0]['parameters']:,} | {len(runs)} | {' | '.join(cells)} |")


def spread(values: list[float]) -> str:
    return f"{statistics.fmean(values):.4f} ± {(max(values) - min(values)) / 2:.4f}"


if __name__ == "__main__":
    main()
