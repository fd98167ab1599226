"""``requires``: the versions that a recipe was written for."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import pytest

from core_engine.recipe.load import LoadedRecipe

HERE = version("core-engine")


@pytest.mark.parametrize(
    "written", ['{core-engine: ">=0.0.1"}', '{Core_Engine: ""}', "{}", f'{{core-engine: "=={HERE}"}}']
)
def test_what_is_met(load: Callable[..., LoadedRecipe], minimal: str, written: str) -> None:
    assert load(minimal + f"requires: {written}\n").recipe is not None


def test_what_is_not(problems: Callable[..., list[str]], minimal: str) -> None:
    text = """\
requires:
  core-engine: ">=99"
  no-such-package: ">=1,<2"
  attrs: "newest"
  pluggy: 1
  "": ">=1"
"""
    assert problems(minimal + text) == [
        f"r.yaml:7:3: requires.core-engine: core-engine {HERE} is installed; run: pip install 'core-engine>=99'",
        "r.yaml:8:3: requires.no-such-package: no-such-package is not installed; "
        "run: pip install 'no-such-package>=1,<2'",
        "r.yaml:9:3: requires.attrs: 'newest' is not a version specifier; write it like '>=0.1,<1'",
        "r.yaml:10:3: requires.pluggy: expected a string, not 1; put it in quotes",
        "r.yaml:11:3: requires.: '' names no distribution",
    ]


def test_what_is_no_mapping(problems: Callable[..., list[str]], minimal: str) -> None:
    assert problems(minimal + "requires: [core-engine]\n") == ["r.yaml:6:1: requires: expected a mapping, not a list"]
