"""No damaged recipe gives anything but a valid recipe or readable problems, and no key is ever accepted for nothing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from mutations import Tree, assert_nothing_is_lost, assert_readable, grow, places, raw_values, render, unknown_keys
from probe_plugin import bundled_and_probe

from core_engine.errors import RecipeError
from core_engine.recipe.load import load_recipe
from core_engine.recipe.lock import recipe_to_dict, recipe_to_yaml

LATTICE = {"size": "[4, 4, 24]", "channels": 8, "steps": 3, "kernel": {"type": "stencil", "hidden": 16}}
RECIPES: list[Tree] = [
    tree
    for tree in map(
        grow,
        [
            {
                "format": 1,
                "name": "dialogue",
                "seed": 3,
                "device": "cpu",
                "output": "runs/here",
                "requires": {"core-engine": '">=0.0.1"'},
                "teachers": {
                    "small": {"type": "minilm", "batch_tokens": 512},
                    "big": {"type": "hf", "model": "none/such"},
                },
                "teacher": "small",
                "mode": {"type": "dialogue"},
                "data": {
                    "train": {"type": "dialogues", "path": "pairs.jsonl", "context_turns": 2, "on_error": "skip"},
                    "split": {"validation": 0.2, "test": 0.3},
                    "corpus": {"type": "texts", "path": "texts.txt"},
                    "filters": {"min_chars": 2, "max_chars": 500, "drop_identical": "false", "drop_duplicates": "all"},
                },
                "reshape": {"type": "linear", "channels": 1},
                "lattice": LATTICE,
                "loss": [{"type": "info_nce", "temperature": "5e-2", "weight": 2}, {"type": "cosine"}],
                "centre": "true",
                "control": "none",
                "train": {
                    "epochs": 3,
                    "batch_size": 32,
                    "accumulate": 2,
                    "optimizer": {"type": "adamw", "lr": "1e-3", "weight_decay": 0.1, "betas": "[0.9, 0.95]"},
                    "schedule": {"type": "cosine", "warmup": 0.1, "final": 0.01},
                    "clip_norm": "null",
                    "monitor": "recall@1",
                    "early_stopping": {"patience": 3, "min_delta": "1e-4", "target": 0.9},
                    "checkpoints": {"every_steps": 10, "keep": 1},
                },
                "evaluation": {"baselines": ["identity", "ridge"]},
                "loggers": [{"type": "jsonl"}, {"type": "csv"}],
            },
            {
                "mode": {"type": "autoencoder", "noise": 0.75, "evaluation_noise": 0.5},
                "data": {
                    "train": {"type": "embeddings", "inputs": "rows.npy", "groups": "texts.txt"},
                    "validation": {"type": "embeddings", "inputs": '"rows.npy"'},
                },
                "reshape": {"type": "projection", "channels": 2, "init": "principal", "rank": 4},
                "lattice": {**LATTICE, "kernel": {"type": "stencil", "update": "gated", "state_noise": 0.1}},
                "loss": [{"type": "mse"}],
                "train": {
                    "max_steps": 10,
                    "optimizer": {"type": "sgd", "momentum": 0},
                    "schedule": {"type": "plateau"},
                },
            },
            {
                "mode": {"type": "mixed", "schedule": "ratio", "autoencoder_share": 0.3, "noise": 0.1},
                "data": {"train": {"type": "quickstart"}},
                "reshape": {"type": "linear"},
                "lattice": {"size": ["4", "4", "24"], "kernel": {"type": "stencil"}},
                "loss": [
                    {
                        "type": "probe",
                        "flag": "true",
                        "count": 3,
                        "factor": 2.5,
                        "text": '"12"',
                        "path": "texts.txt",
                        "choice": 3,
                        "maybe": 0.5,
                        "pair": ["1", "2"],
                        "many": ["a", "'b'"],
                        "items": ["1", "2"],
                        "table": {"x": 1, "y": 2.5},
                        "inner": {"a": 4, "b": "text"},
                        "inners": [{"a": 1}, {"b": "c"}],
                        "number_or_text": "x",
                        "hidden": 7,
                        "weight": 0.5,
                    }
                ],
            },
        ],
    )
    if isinstance(tree, Tree)
]

#: Values that are right in many places.
ORDINARY = ["1", "2", "0.5", "4.0", "true", "false", "null", "x", '"2"', "[]", "cpu", "recall@1", "all", "texts.txt"]
trees = st.sampled_from(RECIPES).map(copy.deepcopy)
#: A busy machine is no fault of the recipe's.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The data that the recipes name, in the working folder."""
    folder = tmp_path_factory.mktemp("mutations")
    (folder / "pairs.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    (folder / "texts.txt").write_text("a\nb\n")
    (folder / "rows.npy").write_bytes(b"never read by a check")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("NO_SUCH_VARIABLE", raising=False)
        yield


def judge(text: str, *overrides: str) -> dict[str, Any] | None:
    """The lock of an accepted recipe, or None where it was refused, both with everything that must hold."""
    Path("r.yaml").write_bytes(text.encode())
    host = bundled_and_probe()
    try:
        recipe = load_recipe("r.yaml", overrides, host).recipe
    except RecipeError as error:
        assert_readable(error.problems, text)
        return None
    Path("lock.yaml").write_bytes(recipe_to_yaml(recipe).encode())
    assert load_recipe("lock.yaml", (), host).recipe == recipe
    return recipe_to_dict(recipe)


def damage(data: st.DataObject, tree: Tree) -> None:
    """One change: an entry dropped, renamed, retyped, doubled, exchanged, or given another value."""
    inside, index = data.draw(st.sampled_from(list(places(tree))), label="place")
    key, item = inside.entries[index]
    match data.draw(st.sampled_from(["drop", "rename", "replace", "vary", "wrap", "double", "exchange"]), label="how"):
        case "drop":
            del inside.entries[index]
        case "rename" if key is not None:
            inside.entries[index] = (data.draw(unknown_keys | raw_values), item)
        case "wrap":
            inside.entries[index] = (key, Tree([(data.draw(st.sampled_from([None, "type", "a"])), item)]))
        case "double":
            inside.entries.insert(data.draw(st.integers(0, len(inside.entries))), (key, copy.deepcopy(item)))
        case "exchange":
            other, position = data.draw(st.sampled_from(list(places(tree))), label="other place")
            inside.entries[index], other.entries[position] = (
                (key, other.entries[position][1]),
                (
                    other.entries[position][0],
                    item,
                ),
            )
        case "vary":
            inside.entries[index] = (key, data.draw(st.sampled_from(ORDINARY)))
        case _:
            inside.entries[index] = (key, data.draw(raw_values))


@pytest.mark.parametrize("tree", RECIPES)
def test_the_recipes_themselves_are_valid(tree: Tree) -> None:
    lock = judge(render(tree))
    assert lock is not None
    assert_nothing_is_lost(render(tree), lock)


@settings(patient, max_examples=900)
@given(data=st.data(), tree=trees)
def test_damaged_recipes(data: st.DataObject, tree: Tree) -> None:
    text = ""
    for _ in range(data.draw(st.sampled_from([1, 1, 1, 2, 4]), label="changes")):
        damage(data, tree)
        try:
            text = render(tree)
        except RecursionError:  # a tree was moved into itself
            assume(False)
        if not tree.entries:
            break
    lock = judge(text)
    event("refused" if lock is None else "accepted")
    if lock is not None:
        assert_nothing_is_lost(text, lock)


@settings(patient, max_examples=500)
@given(data=st.data(), tree=trees)
def test_damaged_text(data: st.DataObject, tree: Tree) -> None:
    text = render(tree)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.sampled_from([0, 0, 1, 1, 2, 10, 100]))
        text = text[:start] + data.draw(raw_values | st.sampled_from(list("\n -:{}[]&*!|>'\"%@`#,?"))) + text[end:]
    lock = judge(text)
    if lock is not None:
        assert_nothing_is_lost(text, lock)


#: Mappings whose keys are the user's own.
FREE = ("teachers", "requires", "table")


def closed(tree: Tree | str) -> list[Tree]:
    """The mappings whose keys are fixed."""
    if isinstance(tree, str):
        return []
    inner = [m for key, item in tree.entries for m in (closed_values(item) if key in FREE else closed(item))]
    return [*([tree] if tree.entries and tree.entries[0][0] is not None else []), *inner]


def closed_values(tree: Tree | str) -> list[Tree]:
    return [] if isinstance(tree, str) else [m for _, item in tree.entries for m in closed(item)]


@settings(patient, max_examples=400)
@given(data=st.data(), tree=trees, key=unknown_keys, rename=st.booleans())
def test_an_unknown_key_is_never_accepted(data: st.DataObject, tree: Tree, key: str, rename: bool) -> None:
    mapping = data.draw(st.sampled_from(closed(tree)))
    index = data.draw(st.integers(0, len(mapping.entries) - 1))
    old, item = mapping.entries[index]
    if rename:
        assert old is not None
        typo = data.draw(st.sampled_from([f"{old}s", old[:-1], f"_{old}", old.upper(), old[::-1], f'" {old}"', key]))
        assume(typo and typo not in ("a", "b", "loss", "teachers"))
        mapping.entries[index] = (typo, item)
    else:
        mapping.entries.insert(index, (key, data.draw(raw_values | st.just("1"))))
    assert judge(render(tree)) is None


@settings(patient, max_examples=300)
@given(data=st.data(), tree=trees, quote=st.sampled_from(["", '"', "'"]))
def test_a_duplicate_key_is_never_accepted(data: st.DataObject, tree: Tree, quote: str) -> None:
    options = [(inside, index) for inside, index in places(tree) if inside.entries[index][0] is not None]
    inside, index = data.draw(st.sampled_from(options))
    key, item = inside.entries[index]
    value = data.draw(st.just(item) | st.sampled_from(["1", "null", "{}", "&x 2"]))
    inside.entries.insert(data.draw(st.integers(0, len(inside.entries))), (f"{quote}{key}{quote}", value))
    assert judge(render(tree)) is None


def addresses(tree: Tree | str, where: str = "") -> list[str]:
    if isinstance(tree, str):
        return [where]
    return [
        *([where] if where else []),
        *(
            address
            for index, (key, item) in enumerate(tree.entries)
            for address in addresses(item, f"{where}[{index}]" if key is None else f"{where}.{key}".lstrip("."))
        ),
    ]


def at(value: Any, address: str) -> Any:
    for step in address.replace("[", ".").replace("]", "").split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


@settings(patient, max_examples=600)
@given(data=st.data(), tree=trees, raw=raw_values)
def test_overrides(data: st.DataObject, tree: Tree, raw: str) -> None:
    address = data.draw(st.sampled_from(addresses(tree)))
    raw = data.draw(st.just(raw) | st.sampled_from(ORDINARY))
    lock = judge(render(tree), f"{address}={raw}")
    event("refused" if lock is None else "accepted")
    if lock is not None:
        assert_nothing_is_lost(raw, at(lock, address))


@settings(patient, max_examples=200)
@given(data=st.data(), tree=trees, key=unknown_keys.filter(str.isidentifier), raw=raw_values)
def test_an_unknown_override_is_never_accepted(data: st.DataObject, tree: Tree, key: str, raw: str) -> None:
    address = data.draw(st.sampled_from(addresses(tree)))
    free = any(address.endswith(name) for name in FREE)
    assume(not free)
    assert judge(render(tree), f"{address}.{key}={raw}") is None
    assert judge(render(tree), f"{key}={raw}") is None


@settings(patient, max_examples=200)
@given(override=st.text(max_size=30) | st.from_regex(r"[a-z.\[\]0-9]{0,12}=?.{0,8}", fullmatch=True))
def test_an_override_of_any_form(override: str) -> None:
    judge(render(RECIPES[0]), override)
