"""Run folders and recipes made to do harm: each is one clear error, runs nothing, and writes nothing.

The digests in the forged manifests are right: whoever forges a file can forge those too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core_engine import Engine
from core_engine.cli.main import main
from core_engine.training.checkpoint import _manifest_text

ROOT = Path(__file__).parents[2]
OVERRIDES = ("train.epochs=2", "evaluation.baselines=[]")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("finished")
    result = Engine.from_recipe(ROOT / "configs/quickstart.yaml", [*OVERRIDES, f"output={output}"]).run()
    assert result is not None
    return result.run_dir


class Scene:
    """A copy of a finished run, what lies beside it, and the commands that would read it."""

    def __init__(self, folder: Path, finished: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capture = folder, capture
        self.run_dir = shutil.copytree(finished, folder / "runs" / finished.name)
        self.step = next(self.run_dir.glob("checkpoints/step-*"))
        self.best = next(self.run_dir.glob("checkpoints/best-*"))
        (folder / "texts.txt").write_text("What is one plus one?\n")
        (folder / "precious.txt").write_text("precious")

    def forge(self, checkpoint: Path, **facts: Any) -> None:
        """Writes a manifest that agrees with the files there, or says what it is given."""
        manifest = json.loads((checkpoint / "checkpoint.json").read_text())
        del manifest["digest"]
        manifest["files"] = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in checkpoint.iterdir()
            if file.name != "checkpoint.json"
        }
        (checkpoint / "checkpoint.json").write_text(_manifest_text({**manifest, **facts}))

    def refused(self, *words: object) -> str:
        """What the command says; it must change nothing in the folder."""
        before = self.everything()
        assert main([str(word) for word in words]) == 2
        assert self.everything() == before
        return self.capture.readouterr().err

    def everything(self) -> dict[str, bytes]:
        return {
            str(path): path.read_bytes()
            for path in self.folder.rglob("*")
            # The lock of the run's folder is taken, and let go of.
            if path.is_file() and path.name != ".lock"
        }

    def resumed(self) -> str:
        (self.run_dir / "result.json").unlink(missing_ok=True)
        return self.refused("run", self.run_dir / "recipe.lock.yaml", "--resume", self.run_dir)

    def applied(self) -> str:
        return self.refused("apply", self.run_dir, "--input", "texts.txt", "--output", "out.npy")


@pytest.fixture
def scene(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Scene:
    monkeypatch.chdir(tmp_path)
    return Scene(tmp_path, finished, capsys)


class Payload:
    """Unpickled, it would make a file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "owned"

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mknod, (str(self._file),))


def test_a_payload_in_the_training_state(scene: Scene) -> None:
    torch.save({"step": Payload(scene.folder)}, scene.step / "state.pt")
    scene.forge(scene.step)
    assert "state.pt: cannot be read" in scene.resumed()


def test_a_payload_in_the_place_of_weights(scene: Scene) -> None:
    torch.save(Payload(scene.folder), scene.best / "core.safetensors")
    scene.forge(scene.best)
    assert "core.safetensors: cannot be read" in scene.applied()


@pytest.mark.parametrize(
    "facts",
    [
        {"files": {"../../../precious.txt": "0" * 64}},
        {"files": "../../../precious.txt"},
        {"step": "../../../precious.txt"},
        {"step": "9" * 5000},
        {"best_step": "../../../precious.txt"},
        {"best_step": "/etc/passwd"},
        {"best_step": ["x"]},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_a_manifest_that_points_elsewhere(scene: Scene, facts: dict[str, Any]) -> None:
    scene.forge(scene.step, **facts)
    assert "no whole step checkpoint" in scene.resumed()


def test_a_best_step_that_points_elsewhere(scene: Scene) -> None:
    state = torch.load(scene.step / "state.pt", weights_only=True)
    state["progress"]["best_step"] = "../../../precious.txt"
    torch.save(state, scene.step / "state.pt")
    scene.forge(scene.step)
    assert "its training state does not fit this recipe" in scene.resumed()


def header_of(length: int, header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", length or len(text)) + text


TERA = 1 << 40
HEADERS = {
    "a header longer than the file": header_of(1 << 60, {}),
    "a header of gigabytes": header_of(3 << 30, {}),
    "a tensor of terabytes": header_of(0, {"x": {"dtype": "F32", "shape": [TERA], "data_offsets": [0, 4 * TERA]}}),
    "a shape that overflows": header_of(
        0, {"x": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 0]}}
    ),
    "offsets that run backwards": header_of(0, {"x": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_giant_tensor_header(scene: Scene, name: str) -> None:
    (scene.best / "core.safetensors").write_bytes(HEADERS[name])
    scene.forge(scene.best)
    assert "core.safetensors: cannot be read" in scene.applied()


def test_a_tensor_of_another_shape_than_the_recipes(scene: Scene) -> None:
    save_file({"x": torch.zeros(3)}, scene.best / "core.safetensors")
    scene.forge(scene.best)
    assert "a core of another architecture" in scene.applied()


def test_a_state_that_unpacks_to_gigabytes(scene: Scene) -> None:
    whole = zipfile.ZipFile(scene.step / "state.pt")
    records = {entry.filename: whole.read(entry) for entry in whole.infolist()}
    with zipfile.ZipFile(scene.step / "state.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in records.items():
            packed.writestr(name, b"\0" * (1 << 28) if name.endswith("data/0") else content)
    scene.forge(scene.step)
    assert "its records are compressed" in scene.resumed()


@pytest.mark.parametrize("name", [".lock", ".owner.json", "metrics.jsonl", "result.json", "curves.png"])
def test_a_link_in_the_place_of_a_file_that_a_run_writes(scene: Scene, name: str) -> None:
    """The run may be refused, or put its own file in the link's place: it never writes through it."""
    (scene.run_dir / "result.json").unlink()
    (scene.run_dir / name).unlink(missing_ok=True)
    (scene.run_dir / name).symlink_to(scene.folder / "precious.txt")
    main(["run", str(scene.run_dir / "recipe.lock.yaml"), "--resume", str(scene.run_dir)])
    assert (scene.folder / "precious.txt").read_text() == "precious"


def laughs() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    return "\n".join(lines) + "\n"


HOSTILE: dict[str, tuple[str, str]] = {
    "a tag that calls a function": ("seed: !!python/object/apply:os.mknod [owned]\n", "is not allowed"),
    "a tag that makes an object": ("name: !!python/object/new:pathlib.Path [owned]\n", "is not allowed"),
    "a tag of a module": ("name: !!python/module:antigravity\n", "is not allowed"),
    "a billion laughs": (laughs(), "more than 20000 values"),
    "a name that is a path": ("name: ../../owned\n", "name"),
    "a name that is an absolute path": ("name: /tmp/owned\n", "name"),
    "a name with a separator": ("name: a/b\n", "name"),
    "a plugin to import": ("requires: ['os; import this']\n", "requires"),
    "an extends without end": ("extends: recipe.yaml\n", "extends"),
    "a device": ("device: /dev/sda\n", "device"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_recipe(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text, said = HOSTILE[name]
    base = "" if "extends" in text else f"extends: {ROOT / 'configs/quickstart.yaml'}\n"
    (tmp_path / "recipe.yaml").write_text(base + text)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "recipe.yaml"]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
