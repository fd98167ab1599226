"""A lattice beside the maps that one would use instead, on real held-out data.

    python benchmarks/quality.py --data FOLDER [--sets faq wiki ...] [--only ROW ...] [--seeds 0 1 2] [--json]

FOLDER holds ``faq``, ``wiki`` and ``selqa``, as JSON Lines. All that is trained is trained with the same loss
(InfoNCE), batches of rows of one group, and centred embeddings; its best epoch, and an adapter's learning rate, are
chosen on the validation groups, and the test groups are scored once. A figure is the mean over test rows and seeds,
with its 95 % interval by the bootstrap over groups; ``ahead`` is the row's MRR@10 less that of ``lattice:default``,
on the same rows, with its own interval. For ``faq`` answers are ranked within the row's group, and among all
(``global_...``).

Rows are kept in ``--output`` by set, row, seed and digests of code and data, so the program can be stopped
and goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from quality_maps import MAPS, SEEDED, Fitted
from quality_sets import SETS, Set, load
from safetensors.torch import load_file, save_file
from torch import Tensor

from core_engine.evaluation.intervals import interval
from core_engine.evaluation.metrics import score_rows
from core_engine.log import configure_logging

ROOT = Path(__file__).resolve().parents[1]
HEADLINE = "lattice:default"


@frozen
class Row:
    parameters: int
    scores: dict[str, Tensor]  # metric -> float64 [n], test rows
    groups: Tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with faq, wiki and selqa")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--only", nargs="+", choices=MAPS, default=list(MAPS), help="rows (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "quality", help="folder of the rows")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    arguments = parser.parse_args()
    configure_logging(-1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = {}
    of_data = digest(arguments.data.glob("*/*.jsonl"))
    for name in arguments.sets:
        given: list[Set] = []  # embedded when the first row needs it

        def data(name: str = name, given: list[Set] = given) -> Set:
            if not given:
                given.append(load(name, arguments.data.resolve()))
            return given[0]

        rows: dict[str, Row] = {}
        for row in arguments.only:
            row_found = kept(arguments.output, name, row, arguments.seeds, data, of_data)
            if row_found is not None:
                rows[row] = row_found
                print(f"{name} {row} done", file=sys.stderr, flush=True)
        found[name] = figures(rows)
    print(json.dumps(found)) if arguments.json else show(found)


def kept(folder: Path, name: str, row: str, seeds: list[int], data: Callable[[], Set], of_data: str) -> Row | None:
    """The row from its files, or fitted now; None where the map does not apply to the set."""
    found: list[dict[str, Tensor]] = []
    for seed in seeds if row in SEEDED else [0]:
        path = folder / f"{name}-{row.replace(':', '-')}-{seed}-{CODE}-{of_data}.safetensors"
        if not path.exists():
            given = data()
            fitted = MAPS[row](given, seed)
            if fitted is None:
                return None
            beside = path.with_suffix(".part")
            save_file(scored(given, fitted), beside)
            beside.rename(path)
        found.append(load_file(path))
    metrics = found[0].keys() - {"groups", "parameters"}
    scores = {metric: torch.stack([one[metric] for one in found]).mean(0) for metric in sorted(metrics)}
    return Row(int(found[0]["parameters"]), scores, found[0]["groups"])


def scored(given: Set, fitted: Fitted) -> dict[str, Tensor]:
    """Of the test rows, by the names of the table."""
    test = given.splits.test
    scores = score_rows(fitted.output, test, given.splits.corpus)
    kept = {"cosine": scores["cosine"]}
    if given.within:
        reciprocal = scores["within_mrr"]
        kept["mrr@10"] = torch.where(reciprocal < 0.0999, 0.0, reciprocal).where(~reciprocal.isnan(), torch.nan)
        kept["recall@1"] = scores["within_recall@1"]
        kept["global_mrr@10"], kept["global_recall@1"] = scores["mrr@10"], scores["recall@1"]
    else:
        kept["mrr@10"], kept["recall@1"] = scores["mrr@10"], scores["recall@1"]
    groups = torch.arange(len(test)) if test.group_ids is None else test.group_ids
    return {**kept, "groups": groups, "parameters": torch.tensor(fitted.parameters)}


def figures(rows: dict[str, Row]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, row in rows.items():
        entry: dict[str, Any] = {"parameters": row.parameters}
        for metric, values in row.scores.items():
            entry[metric] = as_plain(values, row.groups)
        if name != HEADLINE and HEADLINE in rows:
            for metric in ("mrr@10", "recall@1"):
                entry[f"ahead_{metric}"] = as_plain(row.scores[metric] - rows[HEADLINE].scores[metric], row.groups)
        found[name] = entry
    return found


def as_plain(values: Tensor, groups: Tensor) -> dict[str, float]:
    found = interval(values, groups)
    assert found is not None, "a set's rows count"
    return {"value": found.value, "low": found.low, "high": found.high}


def show(found: dict[str, dict[str, Any]]) -> None:
    for name, rows in found.items():
        print(f"\n{name}\n\n| map | parameters | MRR@10 | recall@1 | cosine | MRR@10 ahead of {HEADLINE} |")
        print("|---|---|---|---|---|---|")
        for row, entry in rows.items():
            cells = [f"{entry[metric]['value']:.3f}" for metric in ("mrr@10", "recall@1", "cosine")]
            ahead = entry.get("ahead_mrr@10")
            told = "" if ahead is None else f"{ahead['value']:+.4f} ({ahead['low']:+.4f} to {ahead['high']:+.4f})"
            print(f"| {row} | {entry['parameters']:,} | {' | '.join(cells)} | {told} |")


def digest(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def code_files() -> list[Path]:
    """The code and the recipes that rows come from."""
    files = [*(ROOT / "core_engine").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    files += [*(ROOT / "benchmarks").glob("quality*.py"), *(ROOT / "benchmarks" / "recipes").glob("*.yaml")]
    return [*files, *(ROOT / "configs" / "parts").glob("*.yaml")]


#: As it was imported: what is written to the files while a row is computed has no part in it.
CODE = digest(code_files())


if __name__ == "__main__":
    main()
