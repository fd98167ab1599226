"""``extends``: files put together, and what can go wrong between them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from core_engine.recipe.load import LoadedRecipe
from core_engine.recipe.lock import recipe_to_dict

Load = Callable[..., LoadedRecipe]
Problems = Callable[..., list[str]]
Write = Callable[..., None]


def test_a_chain_of_files(load: Load, write: Write, minimal: str) -> None:
    write(a=minimal + "seed: 1\ntrain: {batch_size: 8, epochs: 2}\n", b="extends: a.yaml\nseed: 2\ndevice: cpu\n")
    recipe = load("extends: b.yaml\ntrain: {batch_size: 16}\n").recipe
    assert (recipe.seed, recipe.device, recipe.train.batch_size, recipe.train.epochs) == (2, "cpu", 16, 2)


def test_of_several_files_the_last_wins(load: Load, write: Write, minimal: str) -> None:
    write(a=minimal + "seed: 1\ncentre: false\n", b="seed: 2\ntrain: {epochs: 3}\n", c="train: {epochs: 4}\n")
    recipe = load("extends: [a.yaml, b.yaml, c.yaml]\n").recipe
    assert (recipe.seed, recipe.centre, recipe.train.epochs) == (2, False, 4)


def test_a_component_of_another_type_is_replaced_whole(load: Load, write: Write, minimal: str) -> None:
    write(a=minimal + "train: {optimizer: {type: adamw, lr: 0.5, weight_decay: 0.25}}\n")
    lock = recipe_to_dict(load("extends: a.yaml\ntrain: {optimizer: {type: sgd}}\n").recipe)
    assert lock["train"]["optimizer"] == {
        "type": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "no_decay": [],
    }


def test_a_component_of_the_same_type_or_none_is_merged(load: Load, write: Write, minimal: str) -> None:
    write(a=minimal + "train: {optimizer: {type: adamw, lr: 0.5, weight_decay: 0.25}}\n")
    for over in ("{type: adamw, lr: 0.1}", "{lr: 0.1}"):
        optimizer = recipe_to_dict(load(f"extends: a.yaml\ntrain: {{optimizer: {over}}}\n").recipe)["train"][
            "optimizer"
        ]
        assert (optimizer["lr"], optimizer["weight_decay"]) == (0.1, 0.25)


def test_options_without_a_type_wait_for_one(load: Load, write: Write, minimal: str) -> None:
    write(a=minimal + "train: {optimizer: {lr: 0.5}}\n")
    lock = recipe_to_dict(load("extends: a.yaml\ntrain: {optimizer: {type: adam}}\n").recipe)
    assert lock["train"]["optimizer"] == {"type": "adam", "lr": 0.5, "betas": [0.9, 0.999]}


def test_lists_are_replaced_whole(load: Load, write: Write, minimal: str) -> None:
    write(a=minimal)
    recipe = load("extends: a.yaml\nloss: [{type: mse}, {type: info_nce}]\n").recipe
    assert [term.loss.type for term in recipe.loss] == ["mse", "info_nce"]


def test_null_takes_a_value_back(load: Load, write: Write, minimal: str) -> None:
    write(a=minimal + "train: {early_stopping: {patience: 3}}\n")
    assert load("extends: a.yaml\ntrain: {early_stopping: null}\n").recipe.train.early_stopping is None


def test_paths_belong_to_the_file_they_stand_in(load: Load, folder: Path, minimal: str) -> None:
    parts = folder / "parts"
    parts.mkdir()
    (parts / "pairs.txt").write_text("Q: a\nA: b\n")
    (parts / "data.yaml").write_text(
        minimal.replace("type: quickstart", "type: dialogues, path: pairs.txt") + "output: results\n"
    )
    recipe = load("extends: parts/data.yaml\n").recipe
    assert recipe.data.train.config.path == parts / "pairs.txt"
    assert recipe.output == folder / "results", "runs are written where the user works"


def test_problems_name_the_file_they_stand_in(problems: Problems, write: Write, minimal: str) -> None:
    write(a=minimal + "sed: 1\n")
    assert problems("extends: a.yaml\ntrain: {epoch: 3}\n") == [
        "a.yaml:6:1: sed: unknown key; did you mean 'seed'?",
        "r.yaml:2:9: train.epoch: unknown key; did you mean 'epochs'?",
    ]


def test_a_missing_file(problems: Problems) -> None:
    assert problems("seed: 1\nextends: [no/such.yaml]\nlattice: {}")[0] == (
        "r.yaml:2:11: extends: no/such.yaml: no such recipe file"
    )


def test_files_that_cannot_be_read(problems: Problems, folder: Path) -> None:
    (folder / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    found = problems('extends: [latin.yaml, ".", loop.yaml, "a\\0b"]\n')
    assert found[0] == "r.yaml:1:11: extends: latin.yaml: not UTF-8 text (byte 9); save it as UTF-8"
    assert found[1] == "r.yaml:1:23: extends: .: cannot be read: Is a directory"
    assert found[2].startswith("r.yaml:1:28: extends: loop.yaml: cannot be read: ")
    assert found[3].startswith(r"r.yaml:1:39: extends: a\x00b: cannot be read: ")


def test_a_circle(problems: Problems, write: Write) -> None:
    write(a="extends: b.yaml\n", b="extends:\n  - r.yaml\n")
    assert problems("extends: a.yaml\n")[0] == (
        "b.yaml:2:5: extends: r.yaml: files extend one another in a circle: r.yaml -> a.yaml -> b.yaml -> r.yaml"
    )


def test_a_file_may_be_extended_twice(load: Load, write: Write, minimal: str) -> None:
    write(base=minimal, a="extends: base.yaml\nseed: 1\n", b="extends: base.yaml\ncentre: false\n")
    recipe = load("extends: [a.yaml, b.yaml]\n").recipe
    assert (recipe.seed, recipe.centre) == (1, False)


def test_extends_of_another_type(problems: Problems) -> None:
    assert problems("extends: 3\n")[0] == ("r.yaml:1:10: extends: expected a file name or a list of file names, not 3")
    assert "r.yaml:1:1: extends: no file is named; name one or remove 'extends'" in problems("extends: []\n")
    assert problems("extends: [a: 1]\n")[0] == (
        "r.yaml:1:11: extends: expected a file name or a list of file names, not a mapping"
    )


def test_a_file_that_is_no_mapping(problems: Problems, write: Write) -> None:
    write(a="- 1\n")
    assert problems("extends: a.yaml\n")[0] == "a.yaml:1:1: a recipe is a mapping, not a list"
    assert problems("text\n") == ["r.yaml:1:1: a recipe is a mapping, not 'text'"]


def test_a_recipe_that_cannot_be_read(problems: Problems, folder: Path) -> None:
    assert problems(b"\xff") == ["r.yaml: not UTF-8 text (byte 0); save it as UTF-8"]


def test_the_file_is_named_from_the_working_folder(problems: Problems, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.yaml").write_text("sed: 1\n")
    assert f"sub{os.sep}a.yaml:1:1: sed: unknown key; did you mean 'seed'?" in problems("extends: sub/../sub/a.yaml\n")
