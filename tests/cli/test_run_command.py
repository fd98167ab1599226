"""The main job through the installed command, on real text with the real teacher."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from core_engine.contracts.metrics import METRICS

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "configs/quickstart.yaml"
PROGRAM = Path(sys.executable).with_name("core-engine")
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_result_holds_every_figure(finished_run: dict[str, Any]) -> None:
    assert set(METRICS) <= set(finished_run["test"])
    for name in ("identity", "mean_shift", "ridge", "procrustes", "linear", "mlp"):
        assert set(METRICS) <= set(finished_run["baselines"][name])
    assert finished_run["parameters"] > 10_000
    assert finished_run["parameters_without_gradient"] == []
    assert finished_run["seconds"] > 0
    assert finished_run["peak_rss_mb"] > 100
    assert finished_run["test"]["cosine_gap"] == pytest.approx(
        finished_run["test"]["cosine"] - finished_run["test"]["cosine_shuffled"]
    )


def test_the_core_is_no_copy_of_its_input(finished_run: dict[str, Any]) -> None:
    assert finished_run["test"] != finished_run["baselines"]["identity"]
    assert finished_run["test"] != finished_run["baselines"]["mean_shift"]


def test_the_run_folder_is_complete(finished_run: dict[str, Any]) -> None:
    run_dir = Path(finished_run["run_dir"])
    assert json.loads((run_dir / "result.json").read_text()) == finished_run
    assert (run_dir / "curves.png").read_bytes().startswith(b"\x89PNG")
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["kind"] == "evaluation"] == [1, 2, 3]
    assert [path.name for path in run_dir.rglob(".*")] == [".lock"], "nothing half-written is left"


def test_the_lock_runs_as_it_stands(cli: Cli, finished_run: dict[str, Any], tmp_path: Path) -> None:
    lock = Path(finished_run["run_dir"]) / "recipe.lock.yaml"
    again = json.loads(cli("run", lock, f"output={tmp_path}", "evaluation.baselines=[]", "--json").stdout)
    assert again["test"] == finished_run["test"]


def test_people_get_a_table_and_the_run_folder(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", QUICKSTART, "train.max_steps=2", "evaluation.baselines=[identity]", cwd=tmp_path)
    for word in ("core", "untrained core", "identity", "R@1", "run folder: "):
        assert word in done.stdout
    folder = done.stdout.split("run folder: ")[1].split(" ")[0].strip()
    assert (tmp_path / folder / "result.json").is_file()


def test_quiet_says_nothing_on_stderr(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", QUICKSTART, "-q", "train.epochs=1", "--json", "evaluation.baselines=[]", cwd=tmp_path)
    assert done.stderr == ""
    assert json.loads(done.stdout)["epochs"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_a_signal_stops_at_a_step_and_the_run_goes_on_bit_for_bit(
    cli: Cli, number: signal.Signals, tmp_path: Path
) -> None:
    recipe = tmp_path / "noisy.yaml"
    recipe.write_text(
        f"extends: {ROOT / 'configs/autoencoder.yaml'}\n"
        "evaluation: {baselines: []}\ntrain: {epochs: 40, evaluate_every: 40}\n"
    )
    with subprocess.Popen(
        [PROGRAM, "run", recipe], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "run started" in line:
                break
        time.sleep(0.5)
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(60) == 128 + number, rest
    assert "Traceback" not in rest
    stopped = next((tmp_path / "runs").iterdir())
    assert not (stopped / "result.json").exists()
    resumed = json.loads(cli("run", recipe, "--resume", "auto", "--json", cwd=tmp_path).stdout)
    assert Path(resumed["run_dir"]).name == stopped.name
    straight = json.loads(cli("run", recipe, "--json", cwd=tmp_path).stdout)
    assert resumed["test"] == straight["test"]
    cores = [
        next(Path(r["run_dir"]).glob("checkpoints/best-*/core.safetensors")).read_bytes() for r in (resumed, straight)
    ]
    assert cores[0] == cores[1]


def test_a_resumed_run_must_be_of_the_same_recipe(cli: Cli, finished_run: dict[str, Any], tmp_path: Path) -> None:
    done = cli("run", QUICKSTART, "--resume", finished_run["run_dir"], code=2)
    assert "this run is finished" in done.stderr
    checkpoints = Path(finished_run["run_dir"]) / "checkpoints"
    done = cli("run", QUICKSTART, "--resume", next(checkpoints.glob("best-*")), code=2)
    assert "no training state" in done.stderr
    done = cli("run", QUICKSTART, "--resume", tmp_path / "nowhere", code=2)
    assert "no such run folder" in done.stderr


def test_an_autoencoder_has_no_differences_to_take_axes_of(cli: Cli, tmp_path: Path) -> None:
    overrides = ("lattice.shortcut.axes=differences", "train.epochs=1", "evaluation.baselines=[]")
    done = cli("run", ROOT / "configs/autoencoder.yaml", *overrides, cwd=tmp_path, code=2)
    assert "set lattice.shortcut.axes to inputs" in done.stderr
    assert "Traceback" not in done.stderr
    cli("run", QUICKSTART, *overrides, cwd=tmp_path)


def write(path: Path, **changes: Any) -> Path:
    """A complete recipe with some entries replaced."""
    recipe: dict[str, Any] = {
        "extends": str(ROOT / "configs/quickstart.yaml"),
        "evaluation": {"baselines": []},
        **changes,
    }
    path.write_text(yaml.safe_dump(recipe))
    return path


BAD_RECIPES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown component": ({"loss": [{"type": "cosin"}]}, "no loss named 'cosin' is installed; did you mean 'cosine'?"),
    "typo": ({"tain": {}}, "tain: unknown key; did you mean 'train'?"),
    "wrong type": ({"train": {"batch_size": "many"}}, "train.batch_size: expected an integer, not 'many'"),
    "missing file": ({"data": {"train": {"type": "dialogues", "path": "gone.jsonl"}}}, "gone.jsonl"),
    "does not fit": ({"reshape": {"type": "linear", "channels": 1}}, "reshape"),
    "unknown metric": ({"train": {"monitor": "accuracy"}}, "there is no metric 'accuracy'"),
    "missing model": (
        {"teachers": {"minilm": {"type": "hf", "model": "./no-such-model"}}},
        "no-such-model",
    ),
    "unknown device": ({"device": "abacus"}, "device 'abacus' cannot be used"),
}


@pytest.mark.parametrize("name", BAD_RECIPES)
def test_bad_recipes_say_what_is_wrong_and_leave_nothing(cli: Cli, name: str, tmp_path: Path) -> None:
    changes, message = BAD_RECIPES[name]
    recipe = write(tmp_path / "recipe.yaml", **changes)
    done = cli("run", recipe, code=2, cwd=tmp_path)
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


BAD_DATA: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "one row": (b'{"question": "q", "answer": "a"}\n', "cannot be split"),
    "encoding": ('{"question": "caf\xe9", "answer": "a"}\n'.encode("latin-1"), "UTF-8"),
    "torn row": (b'{"question": "q", "answer": "a"}\n{"question": "q2", "ans\n', "data.jsonl:2"),
    "no answer": (b'{"question": "q", "answer": "a"}\n{"question": "q2"}\n', "data.jsonl:2"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_is_named_by_file_and_line(cli: Cli, name: str, tmp_path: Path) -> None:
    content, message = BAD_DATA[name]
    (tmp_path / "data.jsonl").write_bytes(content)
    recipe = write(tmp_path / "recipe.yaml", data={"train": {"type": "dialogues", "path": "data.jsonl"}, "split": None})
    done = cli("run", recipe, code=2, cwd=tmp_path)
    assert message in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.jsonl", "recipe.yaml"]


def test_an_output_that_cannot_be_written_is_found_before_any_work(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    done = cli("run", QUICKSTART, code=2, cwd=tmp_path)
    assert "is a file, not a folder" in done.stderr


def test_nan_in_embeddings_is_named(cli: Cli, tmp_path: Path) -> None:
    import numpy as np

    rows = np.random.default_rng(0).normal(size=(30, 384)).astype(np.float32)
    rows[17, 3] = np.nan
    np.save(tmp_path / "x.npy", rows)
    recipe = write(
        tmp_path / "recipe.yaml",
        mode={"type": "autoencoder"},
        teacher=None,
        data={"train": {"type": "embeddings", "inputs": "x.npy"}},
    )
    assert "row 17" in cli("run", recipe, code=2, cwd=tmp_path).stderr
