"""Values that are accepted, and what they become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import probe_plugin
import pytest
from attrs import Factory, frozen
from probe_plugin import Inner, Probe

from core_engine import Component, hookimpl
from core_engine.errors import PluginError
from core_engine.host.host import PluginHost
from core_engine.host.registry import Provider
from core_engine.recipe.load import LoadedRecipe, load_recipe


def test_each_type_of_option(load: Callable[..., LoadedRecipe], minimal: str, folder: Path) -> None:
    (folder / "x.txt").touch()
    written = """{type: probe, flag: true, count: 3, factor: 2, text: "12", path: x.txt, choice: 3, maybe: 1,
        pair: [1, 2], many: [a, "2"], items: [1], table: {a b: 1, "2": .5}, inner: {a: 2}, inners: [{b: c}],
        number_or_text: "3", hidden: 4}"""
    (term,) = load(minimal.replace("{type: cosine}", written)).recipe.loss
    expected = Probe(
        flag=True,
        count=3,
        factor=2.0,
        text="12",
        path=folder / "x.txt",
        choice=3,
        maybe=1.0,
        pair=(1, 2.0),
        many=("a", "2"),
        items=[1],
        table={"a b": 1.0, "2": 0.5},
        inner=Inner(a=2),
        inners=[Inner(b="c")],
        number_or_text="3",
        hidden=4,
    )
    assert term.loss.config == expected
    assert repr(term.loss.config) == repr(expected), "a whole number in the place of a float becomes one"
    assert (term.loss.type, term.loss.provider) == ("probe", Provider("probe", "probe-package", "0.7"))
    assert type(term.weight) is float


def test_defaults(load: Callable[..., LoadedRecipe], minimal: str) -> None:
    assert load(minimal.replace("cosine", "probe")).recipe.loss[0].loss.config == Probe()


@frozen
class Strange:
    """Options that no recipe can hold."""

    anything: Any = None
    raw: bytes = b""
    some: set[str] = Factory(set)
    numbered: dict[int, str] = Factory(dict)

    def build(self, context: Any) -> None: ...


@pytest.mark.parametrize("option", [{"anything": 1}, {"raw": "x"}, {"some": ["a"]}, {"numbered": {"1": "a"}}])
def test_an_option_of_a_type_without_a_form(option: dict[str, Any]) -> None:
    class StrangePlugin:
        @hookimpl
        def losses(self) -> list[Component]:
            return [Component("strange", Strange)]

    host = PluginHost.discover()
    host.register(StrangePlugin(), Provider("strange", "strange-package", "1.0"))
    recipe = {**probe_plugin.recipe(), "loss": [{"type": "strange", **option}]}
    message = rf"^loss\[0\]\.{next(iter(option))}: an option of type .* has no form in a recipe; .*strange-package 1\.0"
    with pytest.raises(PluginError, match=message):
        load_recipe(recipe, (), host)


def test_annotations_that_cannot_be_resolved() -> None:
    class Hidden: ...

    @frozen
    class Local:
        """An option of a type that only this function knows."""

        option: Hidden | None = None

        def build(self, context: Any) -> None: ...

    class LocalPlugin:
        @hookimpl
        def losses(self) -> list[Component]:
            return [Component("local", Local)]

    host = PluginHost.discover()
    host.register(LocalPlugin(), Provider("local", "local-package", "1.0"))
    with pytest.raises(PluginError, match=r"Local cannot be resolved \(name 'Hidden' is not defined\); define it at"):
        load_recipe({**probe_plugin.recipe(), "loss": [{"type": "local"}]}, (), host)
