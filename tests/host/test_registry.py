"""Components by kind and name."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

from core_engine import Component, Kind
from core_engine.errors import PluginError
from core_engine.host.registry import Provider, Registry


@frozen
class Thing:
    """A thing."""

    def build(self, context: Any) -> None: ...


def registry(*claims: tuple[Kind, str, str]) -> Registry:
    found = Registry()
    for kind, name, distribution in claims:
        found.add(kind, Component(name, Thing), Provider(f"{distribution}_plugin", distribution, "2.0"))
    return found


def test_kinds_have_names_of_their_own() -> None:
    found = registry((Kind.LOSS, "linear", "a"), (Kind.RESHAPE, "linear", "b"))
    assert found.get(Kind.LOSS, "linear").provider.distribution == "a"
    assert found.get(Kind.RESHAPE, "linear").provider.distribution == "b"
    assert found.conflicts() == []


def test_what_is_not_there() -> None:
    found = registry((Kind.LOSS, "cosine", "a"), (Kind.LOSS, "angle", "a"))
    with pytest.raises(
        PluginError, match=r"no loss named 'cosin' is installed; did you mean 'cosine'\? installed: angle, "
    ):
        found.get(Kind.LOSS, "cosin")
    with pytest.raises(PluginError, match=r"no kernel named 'cosine' is installed; is a plugin package missing\?"):
        found.get(Kind.KERNEL, "cosine")


def test_a_name_claimed_twice_is_nobodys() -> None:
    found = registry((Kind.LOSS, "cosine", "one"), (Kind.LOSS, "cosine", "two"), (Kind.LOSS, "angle", "one"))
    message = (
        "the loss 'cosine' is claimed by one_plugin (one 2.0) and two_plugin (two 2.0); "
        "disable one with --disable-plugin NAME, or uninstall it"
    )
    assert found.conflicts() == [message]
    assert [component.name for component in found.all()] == ["angle"]
    with pytest.raises(PluginError) as caught:
        found.get(Kind.LOSS, "cosine")
    assert str(caught.value) == message
