"""``core-engine kernels``: which backend computes a recipe's cells, and why the others do not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "configs/quickstart.yaml"
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_reference(cli: Cli) -> None:
    done = cli("kernels", QUICKSTART, "device=cpu", "lattice.backend=reference")
    assert done.stdout.splitlines() == [
        "stencil: 4x2x2 cells, 32 channels, 4 steps, batch 32, float32, memory none, on cpu",
        "runs     reference",
    ]


def test_auto_says_how_far_it_is_from_the_reference(cli: Cli) -> None:
    first, runs, *refused = cli("kernels", QUICKSTART, "device=cpu").stdout.splitlines()
    assert first == "stencil: 4x2x2 cells, 32 channels, 4 steps, batch 32, float32, memory none, on cpu"
    found = re.fullmatch(r"runs     (?:reference|(\w+)  \(relative error against the reference: (\S+)\))", runs)
    assert found is not None
    assert found[2] is None or float(found[2]) < 1e-4
    assert all(re.fullmatch(r"refused  \w+: .+", line) for line in refused)


def test_each_backend_that_cannot_is_named_with_its_reason(cli: Cli) -> None:
    lines = cli("kernels", QUICKSTART, "device=cpu", "lattice.kernel={type: gru}").stdout.splitlines()
    assert lines[:2] == [
        "gru: 4x2x2 cells, 32 channels, 4 steps, batch 32, float32, memory none, on cpu",
        "runs     reference",
    ]
    assert "refused  fused_cpu: it computes stencil cells only" in lines


def test_one_asked_for_that_cannot(cli: Cli) -> None:
    done = cli("kernels", QUICKSTART, "device=cpu", "lattice.kernel={type: gru}", "lattice.backend=fused_cpu", code=2)
    assert done.stderr.splitlines()[-1].endswith(
        "lattice.backend: 'fused_cpu' cannot compute this run: it computes stencil cells only; use 'auto'"
    )
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("refrence", "did you mean 'reference'?"),
        ("fused_cp", "did you mean 'fused_cpu'?"),
        ("abacus", "also known: auto, reference"),
    ],
)
def test_a_wrong_name(cli: Cli, name: str, says: str) -> None:
    done = cli("kernels", QUICKSTART, f"lattice.backend={name}", code=2)
    (line,) = done.stderr.splitlines()
    assert f"lattice.backend: no backend named '{name}' is installed" in line
    assert says in line


def test_the_dimension_of_ready_embeddings_is_read_off_the_first_row(cli: Cli, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 30), np.float32))
    changes = (
        "teacher=null",
        "data.train={type: embeddings, inputs: x.npy}",
        "mode={type: autoencoder}",
        "reshape={type: linear, channels: 2}",
        "device=cpu",
    )
    text = cli("kernels", QUICKSTART, *changes, cwd=tmp_path).stdout
    assert text.startswith("stencil: 4x2x2 cells, ")
    assert "\nruns     " in text


def test_a_teacher_that_is_not_there_to_be_asked(cli: Cli) -> None:
    teacher = "teachers={minilm: {type: hf, model: nobody/no-such-model}}"
    done = cli("kernels", QUICKSTART, "device=cpu", teacher)
    assert done.stdout == "what can compute the cells is known only once the embeddings' dimension is\n"
