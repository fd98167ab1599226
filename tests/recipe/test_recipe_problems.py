"""What a recipe's reader is told: every problem at once, each with its place, what is wrong, and a way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import probe_plugin
import pytest

from core_engine.errors import RecipeError
from core_engine.host.host import PluginHost
from core_engine.host.registry import Provider
from core_engine.recipe.load import LoadedRecipe, load_recipe

Load = Callable[..., LoadedRecipe]
Problems = Callable[..., list[str]]

LOSS = "core_engine_losses, core-engine "
LOSSES = (
    "combined, cosine, curriculum, huber, info_nce, matryoshka, mse, multi_teacher, probe, relational_distillation, "
    "sentence_transformers, similarity_distillation, triplet, uniformity"
)


def test_all_at_once_in_the_order_of_the_file(problems: Problems) -> None:
    text = """\
seed: -1
mode:
  type: dialog
data:
  train: {type: quickstart, size: 3}
  split: {validation: 0.6, test: 0.5}
lattice:
  size: [4, 4]
  kernel: {type: stencil}
  chanels: 8
loss:
  - {type: info_nce, temperatur: 0.1}
  - {type: cosine, weigth: 2}
  - cosine
train:
  lr: 1
  batch_size: "8"
  batch_size: 8
  optimizer: {type: adamw, lr: 1e-3x}
centre: yes
loggers: [{type: console}, {kind: jsonl}]
"""
    found = problems(text)
    assert [re.sub(r" \(core_engine_\w+, core-engine [\d.]+\)$", " (plugin)", line) for line in found] == [
        "r.yaml:1:1: reshape: missing; expected a mapping with a type",
        "r.yaml:1:1: seed: 'seed' must be >= 0: -1",
        "r.yaml:3:3: mode.type: unknown type 'dialog'; did you mean 'dialogue'?",
        "r.yaml:5:29: data.train.size: unknown key; known here: nothing (plugin)",
        "r.yaml:6:3: data.split: validation and test together leave nothing to train on; make them smaller",
        "r.yaml:8:3: lattice.size: expected a list of 3 (an integer, an integer, an integer), not 2 of them",
        "r.yaml:10:3: lattice.chanels: unknown key; did you mean 'channels'?",
        "r.yaml:12:22: loss[0].temperatur: unknown key; did you mean 'temperature'? (plugin)",
        "r.yaml:13:20: loss[1].weigth: unknown key; did you mean 'weight'? (plugin)",
        f"r.yaml:14:5: loss[2]: expected a mapping such as {{type: cosine}}, not 'cosine'; types: {LOSSES}",
        "r.yaml:16:3: train.lr: unknown key; known here: epochs, max_steps, batch_size, accumulate, grad_cache, "
        "optimizer, schedule, ema, clip_norm, evaluate_every, monitor, early_stopping, checkpoints, init_from, "
        "precision, non_finite, deterministic, max_time, memory_budget, profile",
        "r.yaml:17:3: train.batch_size: expected an integer, not '8'; write a plain decimal number, without quotes",
        "r.yaml:18:3: train.batch_size: duplicate key; it stands at line 17 already: remove one of them",
        "r.yaml:19:28: train.optimizer.lr: expected a number, not '1e-3x'; "
        "write a plain decimal number, without quotes",
        "r.yaml:20:1: centre: expected true or false, not 'yes'; write true or false, without quotes",
        "r.yaml:21:28: loggers[1].type: missing; known: console, csv, jsonl, mlflow, tensorboard, trace, wandb",
    ]


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("flag: 1", "flag: expected true or false, not 1"),
        ('flag: "false"', "flag: expected true or false, not 'false'; write true or false, without quotes"),
        ("flag: null", "flag: expected true or false, not nothing (null)"),
        ("count: 10.7", "count: expected an integer, not 10.7"),
        ("count: 1.0", "count: expected an integer, not 1.0"),
        ("count: true", "count: expected an integer, not true"),
        ("count: 012", "count: expected an integer, not '012'; write a plain decimal number, without quotes"),
        ("count: 1_000", "count: expected an integer, not '1_000'; write a plain decimal number, without quotes"),
        ("count: 1:30", "count: expected an integer, not '1:30'; write a plain decimal number, without quotes"),
        ("count: -1", "count: 'count' must be >= 0: -1"),
        (f"count: {'9' * 200}", f"count: 'count' must be < {2**70}: {'9' * 200}"),
        (f"count: {'9' * 5000}", "count: expected an integer, not inf"),
        ("factor: .nan", "factor: expected a finite number, not nan"),
        ("factor: -.inf", "factor: expected a finite number, not -inf"),
        ("factor: 1e400", "factor: expected a finite number, not inf"),
        (f"factor: {'9' * 400}", f"factor: expected a finite number, not {'9' * 117}..."),
        ("factor: false", "factor: expected a number, not false"),
        (
            "factor: 2001-12-14",
            "factor: expected a number, not '2001-12-14'; write a plain decimal number, without quotes",
        ),
        ("factor: -1", ": factor is negative; make it positive"),
        ("factor: 0", ": ZeroDivisionError: float division by zero"),
        ("text: 12", "text: expected a string, not 12; put it in quotes"),
        ("text: null", "text: expected a string, not nothing (null)"),
        ("text: [a]", "text: expected a string, not a list"),
        ("path: ''", "path: expected a path, not ''"),
        ("path: 3", "path: expected a path, not 3"),
        ("path: ~no-such-user/x", "path: '~no-such-user/x': Could not determine home directory."),
        ('path: "a\\0b"', r"path: expected a path, not 'a\x00b'"),
        ("choice: onee", "choice: expected one of one, two, 3, not 'onee'; did you mean 'one'?"),
        ("choice: '3'", "choice: expected one of one, two, 3, not '3'"),
        (f"choice: {'9' * 5000}", "choice: expected one of one, two, 3, not inf"),
        ("maybe: -1", "maybe: 'maybe' must be >= 0: -1.0"),
        ("maybe: x", "maybe: expected a number, not 'x'"),
        ("pair: [1]", "pair: expected a list of 2 (an integer, a number), not 1 of them"),
        ("pair: [1, x]", "pair[1]: expected a number, not 'x'"),
        ("pair: 1", "pair: expected a list of 2 (an integer, a number), not 1"),
        ("many: abc", "many: expected a list, not 'abc'"),
        ("many: {a: b}", "many: expected a list, not a mapping"),
        ("items: [1, 2.5]", "items[1]: expected an integer, not 2.5"),
        ("table: {a: b}", "table.a: expected a number, not 'b'"),
        ("table: [1]", "table: expected a mapping, not a list"),
        ("inner: {a: -1}", "inner.a: 'a' must be >= 0: -1"),
        ("inner: {c: 1}", "inner.c: unknown key; known here: a, b"),
        ("inner: 1", "inner: expected a mapping, not 1"),
        ("inners: [{a: 1}, {b: 2}]", "inners[1].b: expected a string, not 2; put it in quotes"),
        ("number_or_text: true", "number_or_text: expected an integer or a string, not true"),
        ("_hidden: 1", "_hidden: unknown key; did you mean 'hidden'?"),
    ],
)
def test_an_option_of_a_plugin(problems: Problems, minimal: str, option: str, problem: str) -> None:
    found = problems(minimal.replace("  {type: cosine}", "").replace("{type: cosine}", f"{{type: probe, {option}}}"))
    problem = f"loss[0]{problem}" if problem.startswith(":") else f"loss[0].{problem}"
    assert len(found) == 1
    position, rest = found[0].split(" ", 1)
    assert rest == f"{problem} (probe, probe-package 0.7)"
    assert re.fullmatch(r"r\.yaml:5:\d+:", position)


def test_two_options_of_one_class(problems: Problems, minimal: str) -> None:
    text = minimal + "train:\n  batch_size: 0\n  accumulate: 0\n  clip_norm: -1\n"
    assert problems(text) == [
        "r.yaml:7:3: train.batch_size: 'batch_size' must be >= 1: 0",
        "r.yaml:8:3: train.accumulate: 'accumulate' must be >= 1: 0",
        "r.yaml:9:3: train.clip_norm: 'clip_norm' must be > 0: -1.0",
    ]


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("train: {batch_size: 10, accumulate: 3}", "train: batch_size 10 is not a multiple of accumulate 3"),
        (
            "train: {monitor: accuracy}",
            "train.monitor: there is no metric 'accuracy'; metrics: cosine, cosine_shuffled",
        ),
        ("train: {early_stopping: {}}", "train.early_stopping: no rule is given; give patience, target or convergence"),
        ("name: a/b", "name: 'a/b' cannot name a folder; use letters, digits, '.', '_' and '-'"),
        ("seed: 9223372036854775808", "seed: 'seed' must be < 9223372036854775808: 9223372036854775808"),
        (
            "format: 2",
            "format: the recipe is written in format 2, and this engine reads format 1; install the core-engine",
        ),
        ("format: '1'", "format: expected an integer, not '1'"),
        ("teacher: m", "teacher: no teacher named 'm' stands under 'teachers'; there: none"),
        ("teachers: {m: {type: minilm}}", "teachers: no teacher is chosen; add 'teacher:' with one of these names"),
        (
            "evaluation: {baselines: [ridg]}",
            "evaluation.baselines[0]: expected one of identity, mean_shift, ridge, procrustes",
        ),
        ("control: frozen", "control: expected one of none, shuffled_targets, frozen_lattice, not 'frozen'"),
        ("output: ''", "output: expected a path, not ''"),
    ],
)
def test_a_section(problems: Problems, minimal: str, section: str, problem: str) -> None:
    (found,) = problems(minimal + section + "\n")
    assert re.sub(r"^r\.yaml:6:\d+: ", "", found).startswith(problem)


def test_a_lattice_that_is_too_small(problems: Problems, minimal: str) -> None:
    teacher = "teachers: {m: {type: minilm}}\nteacher: m\n"
    (found,) = problems(minimal.replace("24]", "2]") + teacher)
    assert found.startswith("r.yaml:4:1: reshape: 384 dimensions do not fit into 32 cells of 1 channels")
    assert problems(minimal.replace("{type: linear}", "{type: linear, channels: 20}") + teacher) == [
        "r.yaml:4:1: reshape: it needs 20 channels to carry values, and lattice.channels is 16; "
        "raise lattice.channels or use a larger lattice.size"
    ]


def test_what_components_find_out_themselves(problems: Problems, minimal: str, folder: Path) -> None:
    text = minimal.replace("{type: cosine}", "{type: probe, text: two problems, path: none.txt}")
    assert problems(text) == [
        "r.yaml:5:8: loss[0]: the second problem (probe, probe-package 0.7)",
        "r.yaml:5:22: loss[0].text: the first problem (probe, probe-package 0.7)",
        f"r.yaml:5:42: loss[0].path: {folder}/none.txt: no such file (probe, probe-package 0.7)",
    ]


def test_a_check_that_fails_itself(problems: Problems, minimal: str) -> None:
    (found,) = problems(minimal.replace("{type: cosine}", f"{{type: probe, path: {'x' * 5000}}}"))
    assert found.startswith("r.yaml:5:8: loss[0]: its check failed: OSError: ")
    assert found.endswith("(probe, probe-package 0.7)")


def test_a_missing_data_file(problems: Problems, minimal: str, folder: Path) -> None:
    (found,) = problems(minimal.replace("type: quickstart", "type: dialogues, path: none.jsonl"))
    assert found.startswith(f"r.yaml:2:33: data.train.path: {folder}/none.jsonl: no such file")


def test_a_component_that_is_not_installed(problems: Problems, minimal: str) -> None:
    (found,) = problems(minimal.replace("type: cosine", "type: cosin"))
    assert found == (
        f"r.yaml:5:9: loss[0].type: no loss named 'cosin' is installed; did you mean 'cosine'? installed: {LOSSES}"
    )
    (found,) = problems(minimal.replace("{type: stencil}", "{type: transformer}"))
    assert found == (
        "r.yaml:3:38: lattice.kernel.type: no kernel named 'transformer' is installed; "
        "is a plugin package missing? installed: gru, nca, stencil"
    )


@pytest.mark.parametrize("written", ["{type: 3}", "{type: null}", "{type: [cosine]}"])
def test_a_type_that_is_no_name(problems: Problems, minimal: str, written: str) -> None:
    (found,) = problems(minimal.replace("{type: cosine}", written))
    assert found.startswith("r.yaml:5:9: loss[0].type: expected a name, not ")


def test_a_claimed_name_names_both(minimal: str, folder: Path) -> None:
    host = PluginHost.discover()
    for distribution in ("one", "other"):
        plugin = type(distribution, (), {"losses": staticmethod(probe_plugin.losses)})()
        host.register(plugin, Provider("probe", distribution, "1.0"))
    (folder / "r.yaml").write_text(minimal.replace("cosine", "probe"))
    with pytest.raises(RecipeError) as caught:
        load_recipe("r.yaml", (), host)
    assert caught.value.problems == [
        "r.yaml:5:9: loss[0].type: the loss 'probe' is claimed by probe (one 1.0) and probe (other 1.0); "
        "disable one with --disable-plugin NAME, or uninstall it"
    ]


def test_a_line_is_a_line(problems: Problems, minimal: str) -> None:
    found = problems(minimal + '"a\\nr.yaml:1:1: b": 1\n? "' + "k" * 5000 + '"\n: 1\ndevice: "x\\ny${}"\n')
    assert [line.split(": ")[0] for line in found] == ["r.yaml:6:1", "r.yaml:7:3", "r.yaml:9:1"]
    assert not any("\n" in line for line in found)
    assert max(map(len, found)) < 1000


def test_the_recipes_name_is_its_files(load: Load, minimal: str, folder: Path, host: PluginHost) -> None:
    assert load(minimal).recipe.name == "r"
    (folder / "my recipe.yaml").write_text(minimal)
    with pytest.raises(RecipeError, match=r"^the recipe's file name: name: 'my recipe' cannot name a folder"):
        load_recipe("my recipe.yaml", (), host)


def test_no_such_file(host: PluginHost, folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"^none\.yaml: no such recipe file$"):
        load_recipe("none.yaml", (), host)
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        load_recipe(folder, (), host)


def test_a_recipe_as_a_mapping(host: PluginHost, folder: Path) -> None:
    recipe = load_recipe(probe_plugin.recipe(path=folder, pair=(3, 4)), ["seed=4"], host).recipe
    assert (recipe.name, recipe.seed) == ("run", 4)
    assert recipe.loss[0].loss.config.path == folder
    assert recipe.loss[0].loss.config.pair == (3, 4.0)
    assert recipe.output == folder / "runs"


def endless() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["loss"] = [found]
    return found


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        ({**probe_plugin.recipe(), "seeds": 1}, "recipe: seeds: unknown key; did you mean 'seed'?"),
        (probe_plugin.recipe(count=10**5000), "recipe: loss[0].count: "),
        (probe_plugin.recipe(factor=10**5000), "recipe: loss[0].factor: expected a finite number, not an integer of"),
        ({**probe_plugin.recipe(), "seed": {1, 2}}, "recipe: {1, 2} is neither a mapping, a list, a string, a number"),
        ({**probe_plugin.recipe(), "train": {1: 2}}, "recipe: key 1 is not a string"),
        ({**probe_plugin.recipe(), "extends": "r.yaml"}, "recipe: extends: only a recipe file can extend another"),
        (endless(), "recipe: nested more than 64 deep"),
    ],
)
def test_a_mapping_that_is_no_recipe(host: PluginHost, recipe: dict[str, Any], problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, (), host)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(problem)
