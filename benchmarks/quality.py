"""A lattice beside the maps that one would use instead, on real held-out data.

    python benchmarks/quality.py --data FOLDER [--sets faq wiki ...] [--only ROW ...] [--seeds 0 1 2] [--json]

FOLDER holds ``faq``, ``wiki`` and ``selqa``, as JSON Lines. All that is trained on a set is trained with the same loss,
order of rows and noise, but for ``...:cosine``, trained for the cosine alone; its best epoch, and an adapter's learning
rate and batch size, are chosen on the validation groups, and the test groups are scored once. An adapter's weight decay
is the usual 0.01, and it has no dropout. ``shortcut`` is the hybrid of the set's lattice row without its lattice,
``lattice:bare`` the lattice without its shortcut, ``control:frozen_lattice`` the same with nothing trained but the
reshape.

A figure is the mean over test rows and seeds, with its 95 % interval by the bootstrap over groups, which says nothing
of other seeds; ``ahead_...`` is the row's figure less that of the set's first lattice row, on the same rows, with its
own interval. For ``faq`` and ``faq_weak`` answers are ranked within the row's group, and among all (``global_...``).

Controls, closed forms, gains and the linear adapter are fitted with the first seed alone, and on the wide set and for
denoising all but the lattices. Rows are kept in ``--output``
by set, row, seed and a digest of code, data and complete recipe, so the program can be stopped and goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from quality_maps import MAPS, Fitted
from quality_sets import SETS, Set
from safetensors.torch import load_file, save_file
from torch import Tensor

from core_engine import Splits
from core_engine.evaluation.intervals import interval
from core_engine.evaluation.metrics import score_rows
from core_engine.log import configure_logging

ROOT = Path(__file__).resolve().parents[1]
LATTICE = "lattice:"


@frozen
class Row:
    parameters: int
    seeds: int
    scores: dict[str, Tensor]  # metric -> float64 [n], test rows
    groups: Tensor


@frozen
class Task:
    """One map to fit to a set by a seed, and the file that keeps what it scored."""

    name: str
    row: str
    seed: int
    data: Path
    file: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with faq, wiki and selqa")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--only", nargs="+", choices=MAPS, default=list(MAPS), help="rows (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="maps fitted at a time, one thread each (default 2)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "quality", help="folder of the rows")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    data, inputs = arguments.data.resolve(), CODE + digest(arguments.data.glob("*/*.jsonl"))

    tasks: dict[tuple[str, str], list[Task]] = {}
    for name in arguments.sets:
        for row in arguments.only:
            if name in MAPS[row].sets:
                key = hashlib.sha256((inputs + MAPS[row].lock(SETS[name])).encode()).hexdigest()[:16]
                few = 1 if SETS[name].slow and not row.startswith(LATTICE) else MAPS[row].seeds
                for seed in arguments.seeds[:few]:
                    file = f"{name}-{row.replace(':', '-')}-{seed}-{key}.safetensors"
                    tasks.setdefault((name, row), []).append(Task(name, row, seed, data, arguments.output / file))
    fit_all([task for of_row in tasks.values() for task in of_row if not task.file.exists()], arguments.jobs)
    found: dict[str, dict[str, Any]] = {}
    for name in arguments.sets:
        found[name] = figures({row: joined(of_row) for (of, row), of_row in tasks.items() if of == name})
    print(json.dumps(found)) if arguments.json else show(found)


def fit_all(tasks: list[Task], jobs: int) -> None:
    if not tasks:
        return
    configure_logging(-1)
    for task in {task.name: task for task in tasks}.values():
        embedded(task.name, task.data)  # with all cores, and for the processes to find in the cache
        print(f"{task.name} embedded", file=sys.stderr, flush=True)
    embedded.cache_clear()
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        running = {pool.submit(fit, task): task for task in tasks}
        for number, done in enumerate(as_completed(running), start=1):
            done.result()
            task = running[done]
            print(f"{number}/{len(tasks)} {task.name} {task.row} seed {task.seed}", file=sys.stderr, flush=True)


@cache
def embedded(name: str, data: Path) -> Splits:
    return SETS[name].embed(data)


def fit(task: Task) -> None:
    """In a process of its own: fit the map and keep its scores."""
    configure_logging(-1)
    torch.set_num_threads(1)
    given, splits = SETS[task.name], embedded(task.name, task.data)
    fitted = MAPS[task.row].fit(given, splits, task.seed)
    beside = task.file.with_suffix(".part")
    save_file(scored(given, splits, fitted), beside)
    beside.rename(task.file)


def joined(tasks: list[Task]) -> Row:
    """A row, each of its scores the mean over seeds."""
    found = [load_file(task.file) for task in tasks]
    metrics = found[0].keys() - {"groups", "parameters"}
    scores = {metric: torch.stack([one[metric] for one in found]).mean(0) for metric in sorted(metrics)}
    return Row(int(found[0]["parameters"]), len(tasks), scores, found[0]["groups"])


def scored(given: Set, data: Splits, fitted: Fitted) -> dict[str, Tensor]:
    """Of the test rows, by the names of the table."""
    test = data.test
    scores = score_rows(fitted.output, test, data.corpus)
    kept = {"cosine": scores["cosine"]}
    if given.within:
        reciprocal = scores["within_mrr"]
        kept["mrr@10"] = torch.where(reciprocal < 0.0999, 0.0, reciprocal)
        kept["recall@1"] = scores["within_recall@1"]
        kept["global_mrr@10"], kept["global_recall@1"] = scores["mrr@10"], scores["recall@1"]
    else:
        kept["mrr@10"], kept["recall@1"] = scores["mrr@10"], scores["recall@1"]
    groups = torch.arange(len(test)) if test.group_ids is None else test.group_ids
    return {**kept, "groups": groups, "parameters": torch.tensor(fitted.parameters)}


def figures(rows: dict[str, Row]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    headline = next((name for name in rows if name.startswith(LATTICE)), None)
    for name, row in rows.items():
        entry: dict[str, Any] = {"parameters": row.parameters, "seeds": row.seeds}
        for metric, values in row.scores.items():
            entry[metric] = as_plain(values, row.groups)
        if headline not in (None, name):
            for metric in ("mrr@10", "recall@1", "cosine"):
                entry[f"ahead_{metric}"] = as_plain(row.scores[metric] - rows[headline].scores[metric], row.groups)
        found[name] = entry
    return found


def as_plain(values: Tensor, groups: Tensor) -> dict[str, float]:
    found = interval(values, groups)
    assert found is not None, "a set's rows count"
    return {"value": found.value, "low": found.low, "high": found.high}


def show(found: dict[str, dict[str, Any]]) -> None:
    for name, rows in found.items():
        metric = "cosine" if SETS[name].task == "denoising" else "mrr@10"
        print(f"\n{name}\n\n| map | parameters | seeds | MRR@10 | recall@1 | cosine | {metric} ahead of the lattice |")
        print("|---|---|---|---|---|---|---|")
        for row, entry in rows.items():
            cells = [f"{entry[metric]['value']:.3f}" for metric in ("mrr@10", "recall@1", "cosine")]
            ahead = entry.get(f"ahead_{metric}")
            told = "" if ahead is None else f"{ahead['value']:+.4f} ({ahead['low']:+.4f} to {ahead['high']:+.4f})"
            print(f"| {row} | {entry['parameters']:,} | {entry['seeds']} | {' | '.join(cells)} | {told} |")


def digest(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def code_files() -> list[Path]:
    """The code that rows come from."""
    files = [*(ROOT / "core_engine").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    return [*files, *(ROOT / "benchmarks").glob("quality*.py")]


#: As it was imported: what is written to the files while a row is computed has no part in it.
CODE = digest(code_files())


if __name__ == "__main__":
    main()
