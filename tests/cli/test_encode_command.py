"""``core-engine encode`` and ``core-engine store``, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from core_engine.cli.main import main

RECIPE = """
teachers: {tiny: {type: counted, path: TOLD}}
teacher: tiny
store: {dtype: float16}
mode: {type: dialogue}
data: {train: {type: quickstart}}
reshape: {type: linear, channels: 2}
lattice: {size: [2, 2, 2], channels: 2, kernel: {type: stencil, hidden: 4}}
loss: [{type: mse}]
train: {epochs: 1}
evaluation: {baselines: [identity]}
output: runs
"""

#: A plugin whose teacher writes down each text that it encodes.
PLUGIN = '''
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from core_engine import Component, hookimpl


class Teacher:
    dim = 16
    fingerprint = "counted"
    chars_per_call = 2000

    def __init__(self, path):
        self.path = path

    @property
    def usage(self):
        return {"tokens": 7}

    def encode(self, texts):
        import torch

        time.sleep(0.05)
        with self.path.open("a") as told:
            told.write("".join(f"{text!r}\\n" for text in texts))
        while (self.path.parent / "hold").exists():
            time.sleep(0.05)
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") for text in texts]
        return torch.stack([torch.randn(16, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@frozen
class Counted:
    """Counts."""

    path: Path

    def embedding_dim(self):
        return 16

    def build(self, context):
        return Teacher(self.path)


@hookimpl
def teachers():
    return [Component("counted", Counted)]
'''


@pytest.fixture
def setting(tmp_path: Path) -> Path:
    """A folder with a recipe, and a plugin installed in it."""
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("TOLD", str(tmp_path / "told")))
    (tmp_path / "counted_plugin.py").write_text(PLUGIN)
    info = tmp_path / "counted-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[core_engine.plugins]\ncounted = counted_plugin\n")
    return tmp_path


def environment(setting: Path) -> dict[str, str]:
    return os.environ | {"CORE_ENGINE_CACHE": str(setting / "cache"), "PYTHONPATH": str(setting)}


def core_engine(setting: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "core_engine", *arguments]
    done = subprocess.run(command, cwd=setting, env=environment(setting), capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done


Here = Callable[..., str]


@pytest.fixture
def here(setting: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command in this process, which starts in no time: what it prints on stdout, or on stderr where it fails."""
    monkeypatch.chdir(setting)
    monkeypatch.syspath_prepend(setting)
    monkeypatch.setenv("CORE_ENGINE_CACHE", str(setting / "cache"))
    sys.modules.pop("counted_plugin", None)

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(arguments) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return run


def told(setting: Path) -> list[str]:
    return (setting / "told").read_text().splitlines()


def only_segment(setting: Path) -> Path:
    [path] = (setting / "cache").rglob("*.safetensors")
    return path


def test_encode_fills_the_store_and_a_run_needs_the_teacher_no_more(setting: Path) -> None:
    first = json.loads(core_engine(setting, "encode", "recipe.yaml", "--json").stdout)
    assert (first["texts"], first["hits"], first["misses"], first["rank"], first["processes"]) == (600, 0, 600, 0, 1)
    assert first["tokens"] == 0  # it counts no more than before
    assert first["texts_per_s"] > 0
    assert len(told(setting)) == len(set(told(setting))) == 600
    again = core_engine(setting, "encode", "recipe.yaml").stdout
    assert "600 texts: 600 were stored, 0 encoded" in again
    with safe_open(only_segment(setting), framework="pt") as file:
        assert str(file.get_slice("rows").get_dtype()) == "F16"
        assert json.loads(file.metadata()["teacher"]) == {"type": "counted"}
    result = json.loads(core_engine(setting, "run", "recipe.yaml", "--json").stdout)
    figures = result["teacher"]["encoding"]
    assert (figures["texts"], figures["hits"], figures["misses"]) == (600, 600, 0)
    assert figures["seconds"] >= 0
    assert len(told(setting)) == 600


def test_a_store_is_listed_verified_exported_and_pruned(setting: Path, here: Here) -> None:
    here("encode", "recipe.yaml")
    listed = here("store", "ls")
    assert "600 rows" in listed
    assert "type counted; rows of 16 x float16 in 1 file\n" in listed
    [store] = json.loads(here("store", "ls", "--json"))["stores"]
    assert (store["rows"], store["dim"], store["dtype"]) == (600, 16, "float16")

    verified = json.loads(here("store", "verify", "recipe.yaml", "--sample", "20", "--json"))
    assert (verified["texts"], verified["stored"], verified["compared"]) == (600, 600, 20)
    assert 0.99999 < verified["worst_cosine"] < 1
    assert "worst cosine of 64 texts" in here("store", "verify", "recipe.yaml")

    here("store", "export", "recipe.yaml", "--output", "out.npy")
    rows = np.load(setting / "out.npy")
    texts = [json.loads(line)["text"] for line in (setting / "out.jsonl").read_text().splitlines()]
    assert (rows.shape, rows.dtype, len(texts)) == ((600, 16), np.float32, 600)

    name = Path(store["folder"]).name
    assert "would remove" in here("store", "prune", "--store", name, "--dry-run")
    assert only_segment(setting).exists()
    here("store", "prune", "--store", name)
    assert json.loads(here("store", "ls", "--json"))["stores"] == []


def test_verify_finds_rows_that_the_teacher_would_not_give(setting: Path) -> None:
    core_engine(setting, "encode", "recipe.yaml")
    plugin = setting / "counted_plugin.py"
    plugin.write_text(plugin.read_text().replace("return torch.stack(", "return -torch.stack("))
    failed = core_engine(setting, "store", "verify", "recipe.yaml", code=2)
    assert "has a cosine of -1.000000 with what the teacher gives now" in failed.stderr
    assert "store prune --store" in failed.stderr


def test_verify_finds_a_damaged_bit(setting: Path, here: Here) -> None:
    here("encode", "recipe.yaml")
    path = only_segment(setting)
    content = bytearray(path.read_bytes())
    content[-7] ^= 4
    path.write_bytes(content)
    told = here("store", "verify", "recipe.yaml", code=2)
    assert f"{path}: damaged" in told


@pytest.mark.parametrize("command", [["verify"], ["export", "--output", "out.npy"]])
def test_an_empty_store_cannot_be_verified_or_exported(setting: Path, here: Here, command: list[str]) -> None:
    told = here("store", command[0], "recipe.yaml", *command[1:], code=2)
    assert "core-engine encode" in told
    assert not (setting / "out.npy").exists()


def test_ready_embeddings_leave_nothing_to_encode(setting: Path, here: Here) -> None:
    np.save(setting / "x.npy", np.eye(16, dtype=np.float32))
    recipe = setting / "recipe.yaml"
    text = recipe.read_text().replace("{type: quickstart}", "{type: embeddings, inputs: x.npy, targets: x.npy}")
    recipe.write_text(text.replace("teacher: tiny\n", "").replace("teachers: ", "#"))
    assert "there is nothing to encode" in here("encode", "recipe.yaml", code=2)


def test_an_interrupted_encoding_goes_on_where_it_stopped(setting: Path, here: Here) -> None:
    (setting / "hold").touch()
    command = [sys.executable, "-m", "core_engine", "encode", "recipe.yaml"]
    process = subprocess.Popen(command, cwd=setting, env=environment(setting), stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (setting / "told").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    (setting / "hold").unlink()
    assert process.returncode == 130
    assert "Traceback" not in errors
    before = len(told(setting))
    assert before < 600
    core_engine(setting, "encode", "recipe.yaml")
    assert set(told(setting)) == {repr(text) for text in exported(setting, here)}
    assert len(told(setting)) - 600 <= 40  # a batch of 2,000 characters, of texts of fifty or more


def exported(setting: Path, here: Here) -> list[str]:
    here("store", "export", "recipe.yaml", "--output", "out.npy")
    return [json.loads(line)["text"] for line in (setting / "out.jsonl").read_text().splitlines()]


def test_torchrun_encodes_each_text_once(setting: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*command, "core_engine", "encode", "recipe.yaml", "--json"],
        cwd=setting,
        env=environment(setting),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(one["rank"] for one in figures) == [0, 1]
    assert sum(one["misses"] for one in figures) == 600
    assert min(one["misses"] for one in figures) > 200
    assert len(told(setting)) == len(set(told(setting))) == 600
    assert "600 were stored, 0 encoded" in core_engine(setting, "encode", "recipe.yaml").stdout
