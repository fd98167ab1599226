"""What a component must be, told when a plugin declares it."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

from core_engine import Component, Kind


@frozen
class Fine:
    """One line that says what it is.

    And more.
    """

    def build(self, context: Any) -> None: ...


@frozen
class Bare:
    def build(self, context: Any) -> None: ...


@frozen
class Unbuildable:
    """Has no build()."""


@frozen
class Typed:
    """Has an option that the recipe needs for itself."""

    type: str = "x"

    def build(self, context: Any) -> None: ...


class Plain:
    """Is no attrs class."""

    def build(self, context: Any) -> None: ...


def test_the_summary_is_the_first_line() -> None:
    assert Component("fine_2", Fine).summary == "One line that says what it is."


@pytest.mark.parametrize("name", ["", "Fine", "2fine", "fine-2", "fine 2", "_fine", "fine\n", "é"])
def test_names(name: str) -> None:
    with pytest.raises(ValueError, match="must be lower case letters, digits and underscores"):
        Component(name, Fine)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (Plain, TypeError, "config of component 'x' must be an attrs class"),
        (Unbuildable, TypeError, r"config class Unbuildable of component 'x' has no build\(context\)"),
        (Bare, ValueError, "config class Bare of component 'x' has no docstring"),
        (Typed, ValueError, "config class Typed: 'type' is the recipe's key for the component's name"),
    ],
)
def test_config_classes(config: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Component("x", config)


def test_each_kind_has_its_hook() -> None:
    assert {kind: kind.hook for kind in Kind} == {
        "data_source": "data_sources",
        "teacher": "teachers",
        "reshape": "reshapes",
        "kernel": "kernels",
        "backend": "backends",
        "loss": "losses",
        "logger": "loggers",
        "sampler": "samplers",
        "negatives": "negatives",
        "rephraser": "rephrasers",
    }
