"""How long an epoch of training takes: the installed command on ready embeddings, as a user runs it.

    python benchmarks/epoch.py [--json] [--pairs 10000] [--backend auto] [KEY=VALUE ...]

Dialogue training on an 8x8x12 lattice, 16 channels, 8 steps, batch 32. The pairs are random vectors of 384 values, so
the figures are about time and memory only. Seconds are those of the training phase (with validation once, at the end of
the epoch); memory is the process's highest, in 10^6 bytes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

DIM = 384
RECIPE = """
data:
  train: {{type: embeddings, inputs: {train}}}
  validation: {{type: embeddings, inputs: {validation}}}
  test: {{type: embeddings, inputs: {validation}}}
mode: {{type: dialogue}}
lattice:
  size: [8, 8, 12]
  channels: 16
  steps: 8
  backend: {backend}
  kernel: {{type: stencil}}
reshape: {{type: linear}}
loss: [{{type: cosine}}]
train: {{epochs: 1, batch_size: 32}}
evaluation: {{baselines: []}}
loggers: []
output: {output}
"""


def write_pairs(path: Path, rows: int, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    inputs = torch.randn(rows, DIM, generator=source)
    save_file({"inputs": inputs, "targets": inputs.flip(1) + torch.randn(rows, DIM, generator=source)}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--pairs", type=int, default=10_000, help="pairs to train on (default 10,000)")
    parser.add_argument("--backend", default="auto", help="lattice.backend (default auto)")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as core-engine run takes them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder / "train.safetensors", arguments.pairs, 0)
        write_pairs(folder / "validation.safetensors", 512, 1)
        recipe = folder / "epoch.yaml"
        recipe.write_text(
            RECIPE.format(
                train="train.safetensors",
                validation="validation.safetensors",
                backend=arguments.backend,
                output=folder / "runs",
            )
        )
        command = [str(Path(sys.executable).with_name("core-engine")), "run", str(recipe), "--json", "--quiet"]
        done = subprocess.run([*command, *arguments.overrides], check=False, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(done.returncode)  # it has said why
        result = json.loads(done.stdout)
    figures = {
        "backend": result["backend"],
        "parameters": result["parameters"],
        "steps": result["steps"],
        "train_seconds": result["seconds_by_phase"]["train"],
        "seconds": result["seconds"],
        "peak_rss_mb": result["peak_rss_mb"],
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<16}{value}")


if __name__ == "__main__":
    main()
