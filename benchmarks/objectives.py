"""What each objective is worth on held-out data: the recipes in configs/objectives, on two sets, with several seeds.

    python benchmarks/objectives.py --data FOLDER [--sets faq wiki] [--seeds 0 1 2] [--only NAME ...] [--jobs 2]

FOLDER holds ``faq`` and ``wiki``, each with train.jsonl, valid.jsonl and test.jsonl (and ``wiki/corpus_test.jsonl``).
Each recipe differs from ``info_nce.yaml`` in what its name says. Rows are kept in ``--output``, by the digest of their
complete recipe: what is there is not run again, and a run that was cut off goes on from its last checkpoint. A row
keeps a digest of the code that made it, and the program says so where rows are of different code.

Figures are means over the seeds, with half the distance between the largest and the smallest; the core of the best
epoch by validation is scored once on the test groups.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from attrs import frozen

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "configs" / "objectives"
PLAIN = "info_nce"
METRICS = {
    "faq": ("recall@1", "mrr@10", "within_recall@1", "within_mrr", "cosine_gap"),
    "wiki": ("recall@1", "mrr@10", "cosine_gap"),
}


@frozen
class Row:
    """One run to make: which recipe on which set with which seed."""

    name: str
    dataset: str
    seed: int
    data: Path
    output: Path

    @property
    def overrides(self) -> list[str]:
        found = [f"seed={self.seed}"]
        folder = self.data / self.dataset
        for part, file in (("train", "train"), ("validation", "valid"), ("test", "test")):
            found.append(f"data.{part}.path={json.dumps(str(folder / file) + '.jsonl')}")
        corpus = folder / "corpus_test.jsonl"
        if corpus.exists():
            found.append(f"data.corpus={{type: texts, path: {json.dumps(str(corpus))}}}")
        return found


def run(row: Row) -> dict[str, Any]:
    """The row's figures, from its file or from a run of it."""
    import torch

    from core_engine.assembly.engine import Engine
    from core_engine.host.host import PluginHost
    from core_engine.log import configure_logging
    from core_engine.recipe.load import load_recipe
    from core_engine.recipe.lock import recipe_to_dict

    configure_logging(-1)
    torch.set_num_threads(1)
    os.environ["CORE_ENGINE_DATA"] = str(row.data)
    host = PluginHost.discover()
    path = RECIPES / f"{row.name}.yaml"
    lock = recipe_to_dict(load_recipe(path, row.overrides, host).recipe)
    # Where data and results lie says nothing of what is computed.
    plain = json.dumps(lock | {"output": ""}, sort_keys=True).replace(str(row.data), "")
    folder = row.output / f"{row.dataset}-{row.name}-{row.seed}-{hashlib.sha256(plain.encode()).hexdigest()[:16]}"
    kept = folder.with_suffix(".json")
    if not kept.exists():
        engine = Engine.from_recipe(path, [*row.overrides, f"output={json.dumps(str(folder))}"], host)
        result = engine.run(resume="auto")
        assert result is not None
        figures = {
            **{key: getattr(row, key) for key in ("name", "dataset", "seed")},
            "parameters": result.parameters,
            "train_s": result.seconds_by_phase["train"],
            "best_step": result.best_step,
            "steps": result.steps,
            "code": code_digest(),
            "test": dict(result.test),
            "validation": dict(result.validation),
        }
        beside = kept.with_suffix(".part")
        beside.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        beside.rename(kept)
        shutil.rmtree(folder)
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def code_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "core_engine").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def mean_and_spread(rows: Sequence[dict[str, Any]], metric: str) -> tuple[float, float]:
    values = [row["test"][metric] for row in rows]
    return statistics.fmean(values), (max(values) - min(values)) / 2


def tables(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Set -> name -> metric -> mean, spread, and the mean difference to plain InfoNCE over the same seeds."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        here = [row for row in rows if row["dataset"] == dataset]
        plain = {row["seed"]: row for row in here if row["name"] == PLAIN}
        for name in dict.fromkeys(row["name"] for row in here):
            of_name = [row for row in here if row["name"] == name]
            entry: dict[str, Any] = {
                "seeds": len(of_name),
                "parameters": of_name[0]["parameters"],
                "train_s": max(row["train_s"] for row in of_name),
            }
            for metric in METRICS[dataset]:
                mean, spread = mean_and_spread(of_name, metric)
                pairs = [(row, plain[row["seed"]]) for row in of_name if row["seed"] in plain]
                gains = [mine["test"][metric] - base["test"][metric] for mine, base in pairs]
                entry[metric] = {"mean": mean, "spread": spread, "gain": statistics.fmean(gains) if gains else None}
            found.setdefault(dataset, {})[name] = entry
    return found


def show(found: dict[str, dict[str, dict[str, Any]]]) -> None:
    for dataset, entries in found.items():
        metrics = METRICS[dataset]
        print(f"\n{dataset}\n\n| objective | {' | '.join(metrics)} | {metrics[1]} against {PLAIN} | slowest, s |")
        print("|---" * (len(metrics) + 3) + "|")
        ranked = sorted(entries.items(), key=lambda item: (item[0] != PLAIN, -item[1][metrics[1]]["mean"]))
        for name, entry in ranked:
            cells = [f"{entry[metric]['mean']:.3f} ± {entry[metric]['spread']:.3f}" for metric in metrics]
            gain = entry[metrics[1]]["gain"]
            cells.append("" if gain is None or name == PLAIN else f"{gain:+.4f}")
            print(f"| `{name}` | {' | '.join(cells)} | {entry['train_s']:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with faq and wiki")
    parser.add_argument("--sets", nargs="+", choices=list(METRICS), default=list(METRICS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=sorted(path.stem for path in RECIPES.glob("*.yaml")))
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "objectives", help="folder of the rows")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each (default 2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    arguments = parser.parse_args()
    names = arguments.only or [PLAIN, *sorted(path.stem for path in RECIPES.glob("*.yaml") if path.stem != PLAIN)]
    arguments.output.mkdir(parents=True, exist_ok=True)
    todo = [
        Row(name, dataset, seed, arguments.data.resolve(), arguments.output.resolve())
        for seed in arguments.seeds
        for dataset in arguments.sets
        for name in names
    ]
    rows, failed = [], 0
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
        waiting = {pool.submit(run, row): row for row in todo}
        for number, done in enumerate(as_completed(waiting), start=1):
            row = waiting[done]
            try:
                rows.append(done.result())
                what = f"mrr@10 {rows[-1]['test']['mrr@10']:.4f}"
            except Exception as error:  # one recipe that fails must not cost the others
                failed += 1
                what = f"failed: {type(error).__name__}: {error}"
            print(f"{number}/{len(todo)} {row.dataset} {row.name} seed {row.seed}: {what}", file=sys.stderr, flush=True)
    found = tables(rows)
    versions = {row["code"] for row in rows}
    if len(versions) > 1:
        print(f"rows of {len(versions)} states of the code; remove {arguments.output} to run all anew", file=sys.stderr)
    if arguments.json:
        print(json.dumps(found))
    else:
        show(found)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
