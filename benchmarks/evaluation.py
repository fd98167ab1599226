"""How long evaluation takes, and how much memory: retrieval of every row among all answers, and what stands beside it.

    python benchmarks/evaluation.py [--json] [--rows 10000] [--dim 384] [--rounds 3] [--threads N]

Rows are random, in groups of 20, and all answers differ. ``evaluate``, ``health`` and ``preservation`` are the engine's
functions of these names. Seconds are medians of turns; memory is what a function took beyond what the process had, in
10^6 bytes, tables of all rows in float64 included.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import Any

import torch
from quiet import interleaved, peak_memory_mb

from core_engine.data.pairs import Pairs
from core_engine.evaluation.health import health
from core_engine.evaluation.metrics import evaluate
from core_engine.evaluation.preservation import preservation


def measure(rows: int, dim: int, rounds: int) -> dict[str, Any]:
    source = torch.Generator().manual_seed(0)
    targets = torch.randn(rows, dim, generator=source)
    output = targets + 2 * torch.randn(targets.shape, generator=source)
    pairs = Pairs(output, targets, group_ids=torch.arange(rows) // 20)
    tasks = {task.__name__: partial(task, output, pairs) for task in (evaluate, health, preservation)}
    # Memory first: later the allocator holds what earlier calls have freed.
    memory = {name: peak_memory_mb(task) for name, task in tasks.items()}
    shape = {"rows": rows, "dim": dim, "threads": torch.get_num_threads()}
    return {"seconds": interleaved(tasks, rounds), "peak_mb": memory, **shape}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None, help="default: torch's own choice")
    arguments = parser.parse_args()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    found = measure(arguments.rows, arguments.dim, arguments.rounds)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{found['rows']} x {found['rows']} rows of {found['dim']} values, {found['threads']} threads")
    for name, seconds in found["seconds"].items():
        peak = found["peak_mb"][name]
        print(f"{name:14} {seconds:6.2f} s  {'unknown' if peak is None else f'{peak:.0f} MB'}")


if __name__ == "__main__":
    main()
