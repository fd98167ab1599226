"""``key=value`` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core_engine.recipe.load import LoadedRecipe
from core_engine.recipe.lock import recipe_to_dict

Load = Callable[..., LoadedRecipe]
Problems = Callable[..., list[str]]


def test_values_and_mappings(load: Load, minimal: str) -> None:
    recipe = load(
        minimal,
        "train.epochs=3",
        "lattice.size=[2, 3, 64]",
        "train.checkpoints={keep: 5}",
        " seed = 7",
        "data.filters.max_chars=100",
        "train.clip_norm=",
        "name=a=b".replace("=b", "-b"),
        "output=x=y",
    ).recipe
    assert recipe.train.epochs == 3
    assert recipe.lattice.size == (2, 3, 64)
    assert recipe.train.checkpoints.keep == 5
    assert recipe.seed == 7
    assert recipe.data.filters.max_chars == 100
    assert recipe.train.clip_norm is None
    assert recipe.output == Path.cwd() / "x=y"


@pytest.mark.parametrize("key", ["loss[1].weight", "loss.1.weight"])
def test_items_of_lists(load: Load, minimal: str, key: str) -> None:
    recipe = load(minimal.replace("[{type: cosine}]", "[{type: cosine}, {type: mse}]"), f"{key}=2").recipe
    assert [(term.loss.type, term.weight) for term in recipe.loss] == [("cosine", 1.0), ("mse", 2.0)]


def test_an_item_is_set_whole(load: Load, minimal: str) -> None:
    text = minimal.replace("[{type: cosine}]", "[{type: cosine, weight: 3}]")
    (term,) = load(text, "loss[0]={type: cosine}").recipe.loss
    assert term.weight == 1.0


def test_an_item_of_an_item(load: Load, minimal: str) -> None:
    text = minimal.replace("[{type: cosine}]", "[{type: probe, inners: [{a: 1}, {a: 2}]}]")
    recipe = load(text, "loss[0].inners[1].a=5", "loss.0.inners.0.b=x", "loss[0].table.new=1.5").recipe
    assert [(i.a, i.b) for i in recipe.loss[0].loss.config.inners] == [(1, "x"), (5, "")]
    assert recipe.loss[0].loss.config.table == {"new": 1.5}


def test_later_overrides_see_earlier_ones(load: Load, minimal: str) -> None:
    recipe = load(minimal, "loss=[{type: mse}, {type: mse}]", "loss[1].weight=4", "loss[1].weight=5").recipe
    assert recipe.loss[1].weight == 5


def test_another_type_replaces_the_component(load: Load, minimal: str) -> None:
    text = minimal + "train: {optimizer: {type: adamw, lr: 0.5}}\n"
    kept = recipe_to_dict(load(text, "train.optimizer.type=adamw").recipe)["train"]["optimizer"]
    assert kept["lr"] == 0.5
    for override in ("train.optimizer.type=sgd", "train.optimizer={type: sgd}", "train={optimizer: {type: sgd}}"):
        assert recipe_to_dict(load(text, override).recipe)["train"]["optimizer"]["lr"] == 0.1
    recipe = load(text, "train.optimizer.type=sgd", "train.optimizer.lr=0.3").recipe
    assert recipe.train.optimizer.lr == 0.3


def test_a_section_that_was_null(load: Load, minimal: str) -> None:
    text = minimal + "train: {early_stopping: null}\n"
    assert load(text, "train.early_stopping.patience=2").recipe.train.early_stopping is not None


def test_a_path_is_the_users(load: Load, folder: Path, minimal: str) -> None:
    (folder / "pairs.txt").write_text("Q: a\nA: b\n")
    recipe = load(minimal, "data.train={type: dialogues, path: pairs.txt}").recipe
    assert recipe.data.train.config.path == folder / "pairs.txt"


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("train.epochs", "not of the form key=value; write it like train.epochs=3 or loss[0].weight=2"),
        ("=3", "not of the form key=value; write it like train.epochs=3 or loss[0].weight=2"),
        ("loss[x]=3", "not of the form key=value; write it like train.epochs=3 or loss[0].weight=2"),
        ("loss[-1]=3", "not of the form key=value; write it like train.epochs=3 or loss[0].weight=2"),
        ("loss[0]weight=3", "not of the form key=value; write it like train.epochs=3 or loss[0].weight=2"),
        ("train..epochs=3", "not of the form key=value; write it like train.epochs=3 or loss[0].weight=2"),
        ("loss[1]={type: mse}", "loss[1]: loss has 1 items, counted from 0"),
        ("loss.7.weight=2", "loss[7]: loss has 1 items, counted from 0"),
        ("loss.weight=2", "loss.weight: loss is a list, not a mapping; write loss[0].weight=... for its first item"),
        ("train[0]=2", "train[0]: train is nothing (null), not a list"),
        ("reshape[0]=2", "reshape[0]: reshape is a mapping, not a list"),
        ("seed.x=2", "seed.x: seed is 3, not a mapping"),
        ("train.epoch=3", "train.epoch: unknown key; did you mean 'epochs'?"),
        ("train.epochs=three", "train.epochs: expected an integer, not 'three'"),
        ("train.epochs=0", "train.epochs: 'epochs' must be >= 1: 0"),
        ("train={epochs: 1, epochs: 2}", "train: duplicate key; it stands at line 1 already: remove one of them"),
        (
            "train=[1",
            "train: not valid YAML: while parsing a flow sequence: expected ',' or ']', but got '<stream end>'",
        ),
        ("train.monitor=!!str x", "train.monitor: tag '!!str' is not allowed; write a plain value"),
        (
            "device=${NO_SUCH}",
            "device: environment variable NO_SUCH is not set; set it, for example: export NO_SUCH=...",
        ),
        ("extends=other.yaml", "extends: only a recipe file can extend another; write one that does"),
        ("nam[0]={}", "nam[0]: nam is nothing (null), not a list"),
    ],
)
def test_what_is_refused(problems: Problems, minimal: str, override: str, problem: str) -> None:
    assert problems(minimal + "seed: 3\n", override) == [f"override {override!r}: {problem}"]


def test_a_comment_is_no_value(problems: Problems, minimal: str) -> None:
    assert problems(minimal, "train=# everything") == [
        "override 'train=# everything': train: expected a mapping, not nothing (null)"
    ]
