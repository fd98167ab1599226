"""How long mining takes: the nearest wrong targets of every training row, in blocks, beside the whole matrix at once.

    python benchmarks/negatives.py [--json] [--rows 10000] [--dim 384] [--rounds 5]

``blocks`` is the component ``hard`` (64 candidates, 4 chosen), ``matrix`` one product and one top-k over all pairs.
Seconds are medians of turns; memory is what the process took beyond what it had, in 10^6 bytes; it varies with what
the allocator gives back. Two threads of an AMD EPYC: blocks 0.8 to 0.9 s and 77 to 127 MB, matrix 0.7 to 0.9 s and
405 MB.
"""

from __future__ import annotations

import argparse
import json

import torch
import torch.nn.functional as F
from core_engine_negatives.hard import HardNegatives
from quiet import interleaved, peak_memory_mb

from core_engine import Search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    source = torch.Generator().manual_seed(0)
    targets = torch.randn(arguments.rows, arguments.dim, generator=source)
    queries = targets + torch.randn(targets.shape, generator=source)
    search = Search(queries, targets, torch.arange(arguments.rows), source)
    miner = HardNegatives(4, 64, 0.05, 1, "top")

    def matrix() -> None:
        (F.normalize(queries, dim=-1) @ F.normalize(targets, dim=-1).T).topk(64, dim=1)

    tasks = {"blocks": lambda: miner.choose(search), "matrix": matrix}
    # Memory first: later the allocator holds what earlier calls have freed.
    memory = {name: peak_memory_mb(task) for name, task in tasks.items()}
    seconds = interleaved(tasks, arguments.rounds)
    if arguments.json:
        print(json.dumps({"rows": arguments.rows, "dim": arguments.dim, "seconds": seconds, "peak_mb": memory}))
        return
    print(f"{arguments.rows} x {arguments.rows} rows of {arguments.dim} values, {torch.get_num_threads()} threads")
    for name in tasks:
        peak = "unknown" if memory[name] is None else f"{memory[name]:.0f} MB"
        print(f"{name:8} {seconds[name]:6.2f} s  {peak}")


if __name__ == "__main__":
    main()
