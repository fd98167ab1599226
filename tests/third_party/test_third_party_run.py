"""A run made of a third-party package's parts, from the recipe to the trained core in use."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

RECIPE = Path(__file__).parent / "acme.yaml"
Engine = Callable[..., "subprocess.CompletedProcess[str]"]


def test_it_trains_evaluates_and_is_used(engine: Engine, tmp_path: Path) -> None:
    small = ("evaluation.baselines=[]", f"output={tmp_path / 'runs'}", "--json")
    result = json.loads(engine("run", RECIPE, *small, packages=("acme-lattice",)).stdout)
    assert result["parameters_without_gradient"] == []
    assert result["backend"] == "gathered"
    assert result["test"]["cosine"] > result["untrained"]["cosine"]
    (tmp_path / "texts.txt").write_text("What is one plus one?\n")
    apply = ("apply", result["run_dir"], "--input", tmp_path / "texts.txt", "--output", tmp_path / "out.npy")
    engine(*apply, packages=("acme-lattice",))
    assert (tmp_path / "out.npy").stat().st_size > 384 * 4
    (tmp_path / "out.npy").unlink()
    assert "no reshape named 'shuffled' is installed" in engine(*apply, code=2).stderr
    assert not (tmp_path / "out.npy").exists()


def test_its_author_can_prove_that_its_parts_can_be_interrupted(engine: Engine) -> None:
    options = ("--steps", 12, "--points", 4, "--json")
    proof = json.loads(engine("prove", RECIPE, *options, packages=("acme-lattice",)).stdout)
    assert proof["difference"] is None
    assert proof["compared"] > 20
    told = engine(
        "prove", RECIPE, "loss=[{type: forgetful}]", *options[:4], packages=("acme-lattice", "forgetful-losses"), code=1
    ).stdout
    assert "not the same: core." in told
    assert "interrupted after step" in told
