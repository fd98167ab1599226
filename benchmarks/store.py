"""What the embedding store costs beside a plain file: random rows gathered, and rows written.

``gather``: numbers of random rows -> rows in the stored dtype, from a compacted store and from numpy.memmap, both in
the page cache. ``write``: float32 rows -> the stored dtype on disk, each batch synced, by the store (a segment each)
and by appending to one file; ``write_compacted`` adds the merging of all segments at the end.

    python benchmarks/store.py [--json] [--rows 100000] [--dim 768] [--rounds 15]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from quiet import interleaved
from torch import Tensor

from core_engine.store.store import EmbeddingStore

#: Rows of a batch: about what a teacher on a GPU is handed at a time.
BATCH = 4096


def texts_of(rows: int) -> list[str]:
    return [f"text {number}" for number in range(rows)]


def gather(folder: Path, rows: Tensor, rounds: int) -> dict[str, float]:
    """Rows per second."""
    texts = texts_of(len(rows))
    store = EmbeddingStore(folder, "benchmark", rows.shape[1], "float16")
    for start in range(0, len(rows), BATCH):
        store.add(texts[start : start + BATCH], rows[start : start + BATCH])
    store.compact()
    assert len(list(store.folder.glob("*.safetensors"))) == 1
    plain = folder / "plain"
    rows.half().numpy().tofile(plain)
    mapped = np.memmap(plain, dtype=np.float16, mode="r", shape=tuple(rows.shape))
    picked = torch.randint(len(rows), (len(rows) // 2,), generator=torch.Generator().manual_seed(0))
    # The plain file's rows stand in the order of the texts; the store's stand as they were merged.
    numbers = store.locate([texts[i] for i in picked.tolist()])
    assert torch.equal(store.gather(numbers), torch.from_numpy(mapped[picked.numpy()]))
    seconds = interleaved(
        {"store": lambda: store.gather(numbers), "memmap": lambda: mapped[picked.numpy()]}, rounds=rounds
    )
    return {name: len(picked) / taken for name, taken in seconds.items()}


def write(folder: Path, rows: Tensor, rounds: int) -> dict[str, float]:
    """Bytes per second."""
    texts = texts_of(len(rows))
    batches = [(texts[i : i + BATCH], rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)]

    names = (str(number) for number in itertools.count())  # new files each time, for both

    def by_store(compacted: bool) -> None:
        store = EmbeddingStore(folder / next(names), "benchmark", rows.shape[1], "float16")
        for batch, batch_rows in batches:
            store.add(batch, batch_rows)
        if compacted:
            store.compact()

    def by_append() -> None:
        with (folder / next(names)).open("xb", buffering=0) as file:
            for _, batch_rows in batches:
                file.write(batch_rows.half().numpy())
                os.fsync(file.fileno())

    seconds = interleaved(
        {"store": lambda: by_store(False), "store, compacted": lambda: by_store(True), "append": by_append},
        rounds=max(3, rounds // 3),
    )
    return {name: rows.numel() * 2 / taken for name, taken in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    rows = torch.randn(arguments.rows, arguments.dim, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        gathered = gather(Path(folder), rows, arguments.rounds)
        written = write(Path(folder), rows, arguments.rounds)
    ratios = {
        "gather": gathered["store"] / gathered["memmap"],
        "write": written["store"] / written["append"],
        "write_compacted": written["store, compacted"] / written["append"],
    }
    if arguments.json:
        print(json.dumps({"ratios": ratios, "gather_rows_per_s": gathered, "write_bytes_per_s": written}))
        return
    for name, rate in gathered.items():
        print(f"gather, {name:<18}{rate / 1e6:8.2f} M rows/s")
    for name, rate in written.items():
        print(f"write, {name:<18}{rate / 1e9:9.2f} GB/s")
    print("ratios  " + "  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))


if __name__ == "__main__":
    main()
