"""A real Ray cluster of this machine, through the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = """
teachers:
  spread: {type: ray, workers: 2, batch_texts: 50, teacher: {type: telling, folder: TOLD}}
  alone: {type: telling, folder: TOLD}
teacher: spread
mode: {type: dialogue}
data: {train: {type: quickstart}}
reshape: {type: linear, channels: 2}
lattice: {size: [2, 2, 2], channels: 2, kernel: {type: stencil, hidden: 4}}
loss: [{type: mse}]
"""

PLUGIN = '''
import hashlib
import os
import time
from pathlib import Path

from attrs import frozen

from core_engine import Component, hookimpl
from core_engine.errors import TeacherError


class Teacher:
    """Writes down who encodes what."""

    dim = 16
    fingerprint = "telling"

    def __init__(self, folder):
        self.folder = folder
        self.usage = {"tokens": 0}

    def encode(self, texts):
        import torch

        if (self.folder / "broken").exists():
            raise TeacherError("the model is of no use: get another")
        if (self.folder / "deadly").exists():
            os._exit(3)
        time.sleep(0.2)
        self.usage = {"tokens": self.usage["tokens"] + 3 * len(texts)}
        with (self.folder / f"{os.getpid()}.told").open("a") as told:
            told.write("".join(f"{text!r}\\n" for text in texts))
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") for text in texts]
        return torch.stack([torch.randn(16, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@frozen
class Telling:
    """Tells."""

    folder: Path

    def embedding_dim(self):
        return 16

    def build(self, context):
        return Teacher(self.folder)


@hookimpl
def teachers():
    return [Component("telling", Telling)]
'''


@pytest.fixture
def setting(tmp_path: Path) -> Path:
    pytest.importorskip("ray", exc_type=ImportError)
    (tmp_path / "told").mkdir()
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("TOLD", str(tmp_path / "told")))
    (tmp_path / "telling_plugin.py").write_text(PLUGIN)
    info = tmp_path / "telling-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: telling\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[core_engine.plugins]\ntelling = telling_plugin\n")
    return tmp_path


def core_engine(setting: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CORE_ENGINE_CACHE": str(setting / "cache"), "PYTHONPATH": str(setting)}
    command = [sys.executable, "-m", "core_engine", *arguments]
    done = subprocess.run(command, cwd=setting, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.slow
def test_workers_share_the_texts_and_the_store_is_the_teachers_own(setting: Path) -> None:
    assert "no worker" not in core_engine(setting, "check", "recipe.yaml").stdout
    done = core_engine(setting, "encode", "recipe.yaml", "--json")
    assert [line for line in done.stderr.splitlines() if "INFO" in line or "arn" in line] == []  # it keeps to itself
    figures = json.loads(done.stdout)
    assert (figures["misses"], figures["tokens"]) == (600, 1800)
    told = [path.read_text().splitlines() for path in (setting / "told").iterdir()]
    assert len(told) == 2
    assert min(map(len, told)) >= 100
    everything = [text for texts in told for text in texts]
    assert len(everything) == len(set(everything)) == 600
    # The rows are those that the teacher gives by itself, and it finds them.
    assert '"misses": 0' in core_engine(setting, "encode", "recipe.yaml", "teacher=alone", "--json").stdout
    verified = json.loads(core_engine(setting, "store", "verify", "recipe.yaml", "teacher=alone", "--json").stdout)
    assert verified["worst_cosine"] > 0.999999


@pytest.mark.slow
def test_what_goes_wrong_in_a_worker_is_told_as_it_would_be_here(setting: Path) -> None:
    (setting / "told" / "broken").touch()
    failed = core_engine(setting, "encode", "recipe.yaml", "--quiet", code=2)
    assert failed.stderr.splitlines()[-1] == "core-engine: a Ray worker: the model is of no use: get another"
    assert "Traceback" not in failed.stderr


@pytest.mark.slow
def test_workers_that_die_and_workers_that_do_not_fit_are_an_error_and_no_endless_wait(setting: Path) -> None:
    failed = core_engine(setting, "encode", "recipe.yaml", "teachers.spread.gpus=3", code=2)
    assert "asks for gpus: 3, and the cluster has 0 in all" in failed.stderr
    (setting / "told" / "deadly").touch()
    failed = core_engine(setting, "encode", "recipe.yaml", code=2)
    assert "core-engine: a Ray worker failed: " in failed.stderr
    assert "Traceback" not in failed.stderr


def test_options_are_checked_and_the_inner_teachers_too(setting: Path) -> None:
    recipe = setting / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("workers: 2", "workers: 0").replace("folder: TOLD", "fodler: TOLD"))
    told = core_engine(setting, "check", "recipe.yaml", code=2).stderr
    assert "teachers.spread.workers" in told
    recipe.write_text(recipe.read_text().replace("workers: 0", "workers: 2").replace("{type: telling", "{type: tellin"))
    assert "did you mean 'telling'" in core_engine(setting, "check", "recipe.yaml", code=2).stderr
