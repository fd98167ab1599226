"""evaluate, apply and load_core on a finished run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from core_engine import load_core

ROOT = Path(__file__).parents[2]
PAIRS = ROOT / "plugins/core_engine_data/quickstart.jsonl"
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def rows(count: int) -> list[dict[str, str]]:
    return [json.loads(line) for line in PAIRS.read_text().splitlines()[:count]]


def test_apply_gives_what_load_core_gives(cli: Cli, finished_run: dict[str, Any], tmp_path: Path) -> None:
    texts = [row["question"] for row in rows(20)]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    done = cli("apply", finished_run["run_dir"], "--input", "texts.txt", "--output", "out.npy", cwd=tmp_path)
    assert "20 embeddings written to out.npy" in done.stdout
    core = load_core(finished_run["run_dir"])
    written = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(written, core.encode(texts).numpy(), atol=1e-6)

    cli("apply", finished_run["run_dir"], "--input", "out.npy", "--output", "twice.safetensors", cwd=tmp_path)
    twice = load_file(tmp_path / "twice.safetensors")["embeddings"]
    np.testing.assert_allclose(twice, core(written), atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.npy", "texts.txt", "twice.safetensors"]


def test_evaluate_scores_other_data_with_what_apply_gives(
    cli: Cli, finished_run: dict[str, Any], tmp_path: Path
) -> None:
    other = rows(60)
    (tmp_path / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in other))
    scores = json.loads(cli("evaluate", finished_run["run_dir"], "--data", tmp_path / "other.jsonl", "--json").stdout)
    core = load_core(finished_run["run_dir"])
    output = core.encode([row["question"] for row in other])
    from core_engine.assembly.build import build_teacher

    teacher = build_teacher(core.recipe, torch.device("cpu"))
    assert teacher is not None
    targets = teacher.encode([row["answer"] for row in other])
    cosine = torch.cosine_similarity(output, targets).mean().item()
    assert scores["test"]["cosine"] == pytest.approx(cosine, abs=1e-6)
    assert set(scores["baselines"]) == {"identity", "mean_shift"}
    assert scores["data"]["rows"]["test"] == 60


def test_a_run_moves_and_needs_nothing_but_its_folder(finished_run: dict[str, Any], tmp_path: Path) -> None:
    moved = shutil.copytree(finished_run["run_dir"], tmp_path / "moved")
    embeddings = torch.randn(5, 384, generator=torch.Generator().manual_seed(0))
    assert torch.equal(load_core(moved)(embeddings), load_core(finished_run["run_dir"])(embeddings))


def test_batch_and_container_make_no_difference(finished_run: dict[str, Any]) -> None:
    core = load_core(finished_run["run_dir"])
    embeddings = np.random.default_rng(0).normal(size=(40, 384)).astype(np.float32)
    whole = core(embeddings)
    assert isinstance(whole, np.ndarray)
    np.testing.assert_allclose(core(embeddings[7:8]), whole[7:8], atol=1e-5)
    np.testing.assert_array_equal(core(torch.from_numpy(embeddings)).numpy(), whole)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "recipe.lock.yaml").unlink(), "no run made from a recipe"),
        (lambda run: shutil.rmtree(run / "checkpoints"), "no core in it"),
        (
            lambda run: max(run.glob("checkpoints/best-*")).joinpath("core.safetensors").write_bytes(b"x"),
            "damaged: its digest",
        ),
        (
            lambda run: (run / "recipe.lock.yaml").write_text(
                (run / "recipe.lock.yaml").read_text().replace("hidden: 128", "hidden: 64")
            ),
            "a core of another architecture",
        ),
    ],
)
def test_a_damaged_run_is_refused_and_no_output_appears(
    cli: Cli, finished_run: dict[str, Any], damage: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    run_dir = shutil.copytree(finished_run["run_dir"], tmp_path / "run")
    damage(run_dir)
    np.save(tmp_path / "x.npy", np.ones((2, 384), np.float32))
    done = cli("apply", run_dir, "--input", "x.npy", "--output", "y.npy", cwd=tmp_path, code=2)
    assert message in done.stderr
    assert not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize(
    ("name", "content", "output", "message"),
    [
        ("x.npy", np.ones((2, 5), np.float32), "y.npy", "this core takes [n, 384]"),
        ("x.npy", np.full((2, 384), np.nan, np.float32), "y.npy", "row 0"),
        ("x.npy", np.ones((2, 384), np.float32), "y.csv", "written as .npy or .safetensors"),
        ("x.npy", np.ones((2, 384), np.float32), "no/folder/y.npy", "there is no folder"),
    ],
)
def test_apply_refuses_what_it_cannot_do(
    cli: Cli, finished_run: dict[str, Any], name: str, content: Any, output: str, message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / name, content)
    done = cli("apply", finished_run["run_dir"], "--input", name, "--output", output, cwd=tmp_path, code=2)
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
