"""The commands that compute nothing: what they print, and that they load nothing heavy for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from core_engine.recipe.load import load_recipe

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "configs/quickstart.yaml"
HEAVY = ("torch", "transformers", "matplotlib", "safetensors", "numpy", "optuna", "jinja2")

MODULES_AFTER = """
import sys
from core_engine.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("\\n".join(sys.modules))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["sweep", "--help"],
        ["report", "--help"],
        ["sweep", str(QUICKSTART), "train.epoch=1,2"],
        ["plugins"],
        ["plugins", "--json"],
        ["explain", str(QUICKSTART)],
        ["check", str(QUICKSTART), "seed=x"],
    ],
)
def test_nothing_heavy_is_imported(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MODULES_AFTER, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines())
    assert "core_engine.cli.main" in loaded
    assert not loaded & set(HEAVY)


def test_importing_the_package_is_light(tmp_path: Path) -> None:
    code = "import sys, core_engine; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & set(HEAVY)


def test_help_names_every_command(cli: Cli) -> None:
    text = cli("--help").stdout
    for command in ("run", "sweep", "check", "explain", "kernels", "evaluate", "report", "apply", "plugins"):
        assert f"\n    {command} " in text


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout == f"core-engine {version('core-engine')}\n"


def test_plugins_as_json_is_one_object_and_nothing_else(cli: Cli) -> None:
    done = cli("plugins", "--json")
    listing = json.loads(done.stdout)
    assert done.stderr == ""
    assert listing["hook_api"] == 1
    assert (listing["failed"], listing["conflicts"], listing["disabled"]) == ([], [], [])
    names = {
        (component["kind"], component["name"])
        for plugin in listing["plugins"]
        for component in plugin["components"]
        if component["summary"].endswith(".")
    }
    assert {
        *(("data_source", name) for name in ("dialogues", "texts", "embeddings", "quickstart")),
        *(("teacher", name) for name in ("hf", "minilm")),
        *(("reshape", name) for name in ("linear", "projection")),
        *(("kernel", name) for name in ("stencil", "nca", "gru")),
        *(("loss", name) for name in ("cosine", "mse", "combined", "info_nce")),
        *(("logger", name) for name in ("console", "jsonl", "csv", "tensorboard", "mlflow", "wandb", "trace")),
    } <= names


def test_plugins_for_people(cli: Cli) -> None:
    text = cli("plugins").stdout
    assert "\nloss\n" in text
    assert f"(core_engine_losses, core-engine {version('core-engine')})" in text
    assert "failed" not in text


def test_explain_says_where_each_value_comes_from(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(f"extends: {QUICKSTART}\nseed: 7\n")
    rows = [line.split(maxsplit=2) for line in cli("explain", "r.yaml", "device=cpu", cwd=tmp_path).stdout.splitlines()]
    assert ["lattice.kernel", "stencil", f"from core_engine_kernels, core-engine {version('core-engine')}"] in rows
    assert ["seed", "7", "r.yaml:2:7"] in rows
    assert ["device", '"cpu"', "override 'device=cpu'"] in rows
    assert ["centre", "true", "default"] in rows
    (origin,) = [row[2] for row in rows if row[:1] == ["lattice.steps"]]
    assert origin.startswith(f"{ROOT}/configs/parts/lattice.yaml:")


def test_check_says_what_it_found_out(cli: Cli) -> None:
    text = cli("check", QUICKSTART, "device=cpu").stdout
    for line in ("teacher 'minilm' gives 384 dimensions", "device: cpu", f"{QUICKSTART}: ok"):
        assert line in text.splitlines()
    assert " of the inputs can reach an output, " in text


@pytest.mark.parametrize("command", ["check", "explain", "run"])
def test_bad_input_is_told_in_lines_and_leaves_nothing(cli: Cli, tmp_path: Path, command: str) -> None:
    (tmp_path / "r.yaml").write_text(f"extends: {QUICKSTART}\ntrain:\n  epoch: 3\nseed: no\n")
    done = cli(command, "r.yaml", "nonsense", cwd=tmp_path, code=2)
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "override 'nonsense': not of the form key=value; write it like train.epochs=3 or loss[0].weight=2",
        "r.yaml:3:3: train.epoch: unknown key; did you mean 'epochs'?",
        "r.yaml:4:1: seed: expected an integer, not 'no'",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]


def test_a_recipe_that_is_not_there(cli: Cli) -> None:
    assert "none.yaml: no such recipe file" in cli("check", "none.yaml", code=2).stderr


@pytest.mark.parametrize("name", ["quickstart", "autoencoder", "mixed"])
def test_the_shipped_recipes_are_valid(name: str) -> None:
    assert load_recipe(ROOT / f"configs/{name}.yaml").recipe.name == name


def test_the_faq_recipe_needs_its_folder(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recipe = ROOT / "configs/faq.yaml"
    monkeypatch.delenv("CORE_ENGINE_DATA", raising=False)
    lines = cli("check", recipe, code=2).stderr.splitlines()
    assert [line.split(": ", 1)[1].split(" is not set")[0] for line in lines if "is not set" in line] == [
        f"data.{part}.path: environment variable CORE_ENGINE_DATA" for part in ("train", "validation", "test")
    ]
    (tmp_path / "faq").mkdir()
    for part in ("train", "valid", "test"):
        (tmp_path / "faq" / f"{part}.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    monkeypatch.setenv("CORE_ENGINE_DATA", str(tmp_path))
    explained = cli("explain", recipe).stdout
    assert f"{tmp_path}/faq/valid.jsonl" in explained


def test_the_parts_are_no_recipes(cli: Cli) -> None:
    parts = sorted((ROOT / "configs/parts").glob("*.yaml"))
    assert parts
    for part in parts:
        assert isinstance(yaml.safe_load(part.read_text()), dict)
        assert "missing; expected" in cli("explain", part, code=2).stderr
