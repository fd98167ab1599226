"""Where each value of a recipe comes from."""

from __future__ import annotations

from collections.abc import Callable

from core_engine.recipe.explain import explain, suppliers
from core_engine.recipe.load import LoadedRecipe


def test_every_value_and_its_origin(
    load: Callable[..., LoadedRecipe], write: Callable[..., None], minimal: str
) -> None:
    write(a=minimal + "train: {epochs: 2, batch_size: 8}\n")
    loaded = load("extends: a.yaml\nseed: 5\ntrain:\n  epochs: 4\n", "loss[0]={type: mse, weight: 2}", "device=cpu")
    found = {e.where: (e.value, e.origin) for e in explain(loaded)}
    assert found["seed"] == (5, "r.yaml:2:7")
    assert found["train.epochs"] == (4, "r.yaml:4:11")
    assert found["train.batch_size"] == (8, "a.yaml:6:32")
    assert found["train.clip_norm"] == (1.0, "default")
    assert found["loss[0].weight"] == (2.0, "override 'loss[0]={type: mse, weight: 2}'")
    assert found["device"] == ("cpu", "override 'device=cpu'")
    assert found["lattice.size"] == ([4, 4, 24], "a.yaml:3:17")
    assert found["loggers[0].type"] == ("console", "default")
    assert found["name"] == ("r", "the recipe's file name")
    assert found["teachers"] == ({}, "default")


def test_who_supplies_each_component(load: Callable[..., LoadedRecipe], minimal: str) -> None:
    text = (
        minimal.replace("{type: cosine}", "{type: cosine}, {type: probe}")
        + "teachers: {m: {type: minilm}}\nteacher: m\n"
    )
    found = [(where, name, supplier.split(",")[0]) for where, name, supplier in suppliers(load(text))]
    assert found == [
        ("data.train", "quickstart", "core_engine_data"),
        ("lattice.kernel", "stencil", "core_engine_kernels"),
        ("reshape", "linear", "core_engine_reshapes"),
        ("loss[0]", "cosine", "core_engine_losses"),
        ("loss[1]", "probe", "probe"),
        ("loggers[0]", "console", "core_engine_loggers"),
        ("loggers[1]", "jsonl", "core_engine_loggers"),
        ("teachers.m", "minilm", "core_engine_teachers"),
    ]
