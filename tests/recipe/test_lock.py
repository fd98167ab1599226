"""The lock holds the whole recipe, and loading it gives an equal one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import probe_plugin
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core_engine.host.host import PluginHost
from core_engine.recipe.load import LoadedRecipe, load_recipe
from core_engine.recipe.lock import recipe_to_dict, recipe_to_yaml

Load = Callable[..., LoadedRecipe]

LOOKS_LIKE_SOMETHING_ELSE = [
    *("", " ", "~", "null", "true", "False", "yes", "no", "on", "y", "1", "-1", "012", "0x1F", "1_000", "1:30"),
    *("3e-4", "1e400", ".5", "1.", ".inf", ".nan", "NaN", "2001-12-14", "<<", "=", "-", "- a", "? a", "a: b", "a #b"),
    *("${HOME}", "$${HOME}", "$$${HOME}", "${", "$", "}", "${}", "*a", "&a", "!t", "!!str 1", "%YAML 1.1", "@a", "`a"),
    *("---", "...", "{a}", "[a]", "|", ">", "'", '"', "\\", "\\n", "\n", "a\n", "\na", "a\n\nb", " a ", "\t", "a\tb"),
    *("\r", "\r\n", "\x00", "\x07", "\x1b", "\x7f", "\x85", "\u2028", "\ufeff", "\ufffe", "\ud800", "😀", "日本", "é"),
    *("x" * 200, "word " * 60, "~/x", "..", "type"),
]

texts = st.sampled_from(LOOKS_LIKE_SOMETHING_ELSE) | st.text(max_size=40)
#: What a path can be: not empty, no NUL in it, and nobody's home.
paths = texts.filter(lambda text: text != "" and "\0" not in text and not re.match("~[^/]", text))
integers = st.integers(min_value=0, max_value=2**70 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
inners = st.fixed_dictionaries({}, optional={"a": integers, "b": texts})
probes = st.fixed_dictionaries(
    {},
    optional={
        "flag": st.booleans(),
        "count": integers,
        "factor": numbers.filter(lambda x: x > 0),
        "text": texts,
        "path": st.none() | paths,
        "choice": st.sampled_from(["one", "two", 3]),
        "maybe": st.none() | numbers.map(abs),
        "pair": st.tuples(st.integers(), numbers),
        "many": st.lists(texts, max_size=4),
        "items": st.lists(st.integers(), max_size=4),
        "table": st.dictionaries(texts, numbers, max_size=4),
        "inner": inners,
        "inners": st.lists(inners, max_size=3),
        "number_or_text": st.integers() | texts,
        "hidden": st.integers(),
    },
)
recipes = st.builds(
    lambda probe, rest: {**probe_plugin.recipe(**probe), **rest},
    probes,
    st.fixed_dictionaries(
        {},
        optional={
            "seed": st.integers(min_value=0, max_value=2**63 - 1),
            "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*", fullmatch=True),
            "device": texts,
            "output": paths,
            "centre": st.booleans(),
            "teachers": st.dictionaries(
                texts, st.fixed_dictionaries({"type": st.just("hf"), "model": paths}), max_size=3
            ),
            "requires": st.sampled_from([{}, {"core-engine": ">=0.0"}, {"Core_Engine": ""}, {"attrs": "!=1.0"}]),
            "mode": st.sampled_from(
                [
                    {"type": "dialogue"},
                    {"type": "autoencoder", "noise": 0.75},
                    {"type": "mixed", "schedule": "alternate"},
                ]
            ),
            "train": st.fixed_dictionaries(
                {},
                optional={
                    "max_steps": st.none() | st.integers(min_value=1),
                    "clip_norm": st.none() | numbers.filter(lambda x: x > 0),
                    "optimizer": st.sampled_from([{"type": "sgd", "lr": 3}, {"type": "adam", "betas": [0, 1e-300]}]),
                    "schedule": st.sampled_from([{"type": "plateau", "patience": 0}, {"type": "constant"}]),
                    "early_stopping": st.sampled_from([None, {"target": -0.0}, {"patience": 1, "min_delta": 1e-320}]),
                    "monitor": texts,
                },
            ),
            "loggers": st.lists(st.sampled_from([{"type": "console"}, {"type": "csv"}]), max_size=2),
        },
    ),
)


def escaped(value: Any) -> Any:
    """Every text as a recipe writes it, where ``${`` would name an environment variable."""
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(item) for item in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipe=recipes)
def test_loading_the_lock_gives_an_equal_recipe(recipe: dict[str, Any], tmp_path_factory: Any) -> None:
    host = probe_plugin.bundled_and_probe()
    loaded = load_recipe(escaped(recipe), (), host, check=False).recipe
    for key, value in recipe["loss"][0].items():
        if key in ("flag", "count", "factor", "text", "choice", "maybe", "items", "table", "number_or_text"):
            assert getattr(loaded.loss[0].loss.config, key) == value
    file = tmp_path_factory.getbasetemp() / "recipe.lock.yaml"
    file.write_bytes(recipe_to_yaml(loaded).encode())
    again = load_recipe(file, (), host, check=False).recipe
    assert again == loaded
    assert repr(again) == repr(loaded), "equal numbers may be of another type, or zero of another sign"


@pytest.mark.parametrize("text", LOOKS_LIKE_SOMETHING_ELSE)
def test_text_stays_what_it_is(load: Load, text: str) -> None:
    recipe = probe_plugin.recipe(text=text, many=[text, "x"], table={text: 1.0})
    loaded = load_recipe(escaped(recipe), (), probe_plugin.bundled_and_probe()).recipe
    assert loaded.loss[0].loss.config.text == text
    assert load(recipe_to_yaml(attrs.evolve(loaded, name="r"))).recipe == attrs.evolve(loaded, name="r")


def test_a_lock_is_the_same_from_anywhere(
    load: Load, minimal: str, folder: Path, host: PluginHost, monkeypatch: Any
) -> None:
    (folder / "pairs.txt").write_text("Q: a\nA: b\n")
    recipe = load(minimal.replace("type: quickstart", "type: dialogues, path: pairs.txt")).recipe
    lock = folder / "sub" / "recipe.lock.yaml"
    lock.parent.mkdir()
    lock.write_text(recipe_to_yaml(recipe))
    monkeypatch.chdir(lock.parent)
    assert load_recipe("recipe.lock.yaml", (), host).recipe == recipe


def test_every_default_is_written_out(load: Load, minimal: str) -> None:
    lock = recipe_to_dict(load(minimal).recipe)
    assert list(lock) == [
        *("data", "lattice", "reshape", "loss", "mode", "loggers", "teachers", "teacher", "store", "sampler"),
        *(
            "negatives",
            "format",
            "name",
            "seed",
            "device",
            "output",
            "requires",
            "centre",
            "control",
            "train",
            "evaluation",
        ),
    ]
    assert lock["loss"] == [{"type": "cosine", "weight": 1.0}]
    assert lock["loggers"] == [{"type": "console"}, {"type": "jsonl"}]
    assert lock["train"]["optimizer"] == {
        "type": "adamw",
        "lr": 0.001,
        "weight_decay": 0.01,
        "betas": [0.9, 0.999],
        "no_decay": [],
    }
    assert lock["data"]["filters"]["drop_duplicates"] == "train"


def test_small_numbers_stay_numbers(load: Load, minimal: str) -> None:
    text = recipe_to_yaml(load(minimal + "train: {optimizer: {type: adam, lr: 1e-7}}\n").recipe)
    assert math.isclose(load(text).recipe.train.optimizer.lr, 1e-7)
