"""A sweep is checked before anything is trained."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from core_engine.cli.main import parse
from core_engine.errors import CheckpointError, EngineError, RecipeError
from core_engine.host.host import PluginHost
from core_engine.recipe.load import load_recipe
from core_engine.sweep.folder import new_sweep, read_plan
from core_engine.sweep.plan import Plan, make_plan

ROOT = Path(__file__).parents[2]
MakePlan = Callable[..., Plan]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["train.optimizr.lr=1e-3,3e-3"], "train.optimizr: unknown key; did you mean 'optimizer'?"),
        (["train.epochs=1,two"], "override 'train.epochs=two': train.epochs: expected an integer, not 'two'"),
        (["train.epochs=1,0"], "override 'train.epochs=0': train.epochs: 'epochs' must be >= 1: 0"),
        (["loss[x]=1,2"], "override 'loss[x]=1': not of the form key=value"),
        (["seed=1,2", "train.epoch=3"], "override 'train.epoch=3': train.epoch: unknown key"),
        (["train.batch_size=32,20", "train.accumulate=1,8"], "batch_size 20 is not a multiple of accumulate 8"),
        (["train.monitor=loss,cosine"], "train.monitor: cannot be searched: trials are compared by it"),
        (["seed=1,2,1"], "seed: 1 and 1 make the same trial"),
        (["train.optimizer.lr=1e-3,0.001"], "train.optimizer.lr: 1e-3 and 0.001 make the same trial"),
        (["seed=1,2", "seed=3"], "seed: 1 and 2 make the same trial"),
        (["name=a,b"], "name: a and b make the same trial"),
        (["data.train={type: dialogues, path: no.jsonl},{type: quickstart}"], "no.jsonl: no such file"),
    ],
)
def test_a_grid_that_cannot_be_run(plan_of: MakePlan, words: list[str], problem: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(problem)) as caught:
        plan_of(*words)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("lattice.kernel.hidden=0..8", "override 'lattice.kernel.hidden=0': lattice.kernel.hidden: "),
        ("train.optimizer.lr=0.1..2000", "override 'train.optimizer.lr=2000.0': train.optimizer.lr: "),
        ("train.epochs=1.0..3", "override 'train.epochs=1.0': train.epochs: expected an integer, not 1.0"),
    ],
)
def test_both_ends_of_a_range_are_checked(plan_of: MakePlan, word: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(problem)):
        plan_of(word, trials=3)


@pytest.mark.parametrize(
    ("word", "trials", "problem"),
    [
        ("train.optimizer.lr=log:1e-4..1e-2", None, "say how many trials to make with --trials N"),
        ("train.optimizer.lr=log:1e-4..1e-2", 0, "--trials 0: a sweep makes one trial at least"),
        ("seed=1,2", 2, "--trials 2: lists are tried in all 2 combinations; remove it"),
        ("seed=" + ",".join(map(str, range(10_001))), None, "10001 combinations; 10000 are the most"),
    ],
)
def test_the_number_of_trials(plan_of: MakePlan, word: str, trials: int | None, problem: str) -> None:
    with pytest.raises(EngineError, match=re.escape(problem)):
        plan_of(word, trials=trials)


def test_the_documented_sweeps_can_be_run(host: PluginHost) -> None:
    (block,) = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/sweeps.md").read_text(), re.DOTALL | re.MULTILINE)
    for line in block.splitlines():
        arguments = parse(shlex.split(line)[1:])
        plan = make_plan(ROOT / arguments.recipe, arguments.overrides, arguments.trials, host)
        assert plan.trials in (4, 20)


def test_an_override_holds_whichever_component_is_tried(plan_of: MakePlan, host: PluginHost) -> None:
    plan = plan_of("train.optimizer.type=adamw,sgd", "train.optimizer.lr=0.25")
    optimizers = [plan.recipe_with(values, host).train.optimizer for values in plan.space.combinations()]
    assert [(type(one).__name__, one.lr) for one in optimizers] == [("AdamW", 0.25), ("SGD", 0.25)]


def test_baselines_are_left_out_unless_they_are_asked_for(plan_of: MakePlan, host: PluginHost) -> None:
    plan = plan_of("seed=1,2")
    assert plan.recipe.evaluation.baselines
    assert plan.recipe_with({"seed": "1"}, host).evaluation.baselines == []
    asked = plan_of("seed=1,2", "evaluation.baselines=[ridge]")
    assert asked.recipe_with({"seed": "1"}, host).evaluation.baselines == ["ridge"]


def test_a_sweep_is_gone_on_with_as_it_was_planned(
    plan_of: MakePlan, host: PluginHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the working folder is then: relative paths stay what they were."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    sources = ",".join(f"{{type: dialogues, path: {name}.jsonl}}" for name in ("a", "b"))
    plan = plan_of(f"data.train={sources}", "train.optimizer.lr=log:1e-4..1e-2", trials=7)
    folder = new_sweep(plan)
    assert folder.parent == tmp_path / "runs"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = read_plan(folder, host)
    assert again == plan
    values = {"data.train": "{type: dialogues, path: b.jsonl}", "train.optimizer.lr": 0.003}
    assert again.recipe_with(values, host).data.train.config.path == tmp_path / "b.jsonl"


def test_the_recipe_is_the_one_that_the_sweep_was_started_with(host: PluginHost, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"extends: {ROOT / 'configs/quickstart.yaml'}\noutput: {tmp_path}\ndevice: $${{x}}\n")
    folder = new_sweep(make_plan(recipe, ["seed=1,2"], None, host))
    recipe.write_text("nonsense")
    plan = read_plan(folder, host)
    assert plan.recipe.device == plan.recipe_with({"seed": "1"}, host).device == "${x}"
    assert load_recipe(folder / "recipe.lock.yaml", (), host).recipe.evaluation.baselines


def test_a_sweep_that_cannot_be_run_here_any_more(
    plan_of: MakePlan, host: PluginHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVICE", "cpu")
    folder = new_sweep(plan_of("seed=1,2", "device=${DEVICE}", f"output={tmp_path}"))
    monkeypatch.delenv("DEVICE")
    with pytest.raises(RecipeError, match="environment variable DEVICE is not set"):
        read_plan(folder, host)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no sweep: there is no sweep.json in it"),
        ("{", "sweep.json: damaged"),
        ("[]", "sweep.json: damaged"),
        ('{"format": 1}', "sweep.json: damaged"),
        ('{"format": 2}', "of format 2, and this engine reads format 1"),
    ],
)
def test_what_is_no_sweep(host: PluginHost, tmp_path: Path, content: str | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(CheckpointError, match=re.escape(problem)):
        read_plan(tmp_path, host)
