"""``${NAME}`` in a recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core_engine.recipe.load import LoadedRecipe
from core_engine.recipe.lock import recipe_to_yaml

Load = Callable[..., LoadedRecipe]
Problems = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECIPE_A", "alpha")
    monkeypatch.setenv("RECIPE_B", "be${RECIPE_A}ta: 1")
    monkeypatch.setenv("RECIPE_EMPTY", "")
    monkeypatch.setenv("RECIPE_NUMBER", "3")
    monkeypatch.setenv("RECIPE_FOLDER", str(tmp_path))
    monkeypatch.delenv("RECIPE_UNSET", raising=False)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${RECIPE_A}", "alpha"),
        ("x${RECIPE_A}y${RECIPE_A}", "xalphayalpha"),
        ("${RECIPE_B}", "be${RECIPE_A}ta: 1"),
        ("a${RECIPE_EMPTY}b", "ab"),
        ("$${RECIPE_A}", "${RECIPE_A}"),
        ("$$${RECIPE_A}", "$${RECIPE_A}"),
        ("$${RECIPE_A}${RECIPE_A}", "${RECIPE_A}alpha"),
        ("$RECIPE_A $$ ${", "$RECIPE_A $$ ${"),
        ("${RECIPE_NUMBER}", "3"),
    ],
)
def test_in_a_string(load: Load, minimal: str, written: str, meant: str) -> None:
    text = minimal.replace("{type: cosine}", f"{{type: probe, text: '{written}', many: ['{written}']}}")
    loaded = load(text)
    assert loaded.recipe.loss[0].loss.config.text == meant
    assert loaded.recipe.loss[0].loss.config.many == (meant,)
    assert load(recipe_to_yaml(loaded.recipe)).recipe == loaded.recipe


def test_in_a_path_and_in_an_override(load: Load, minimal: str, folder: Path) -> None:
    (folder / "alpha.txt").write_text("Q: a\nA: b\n")
    override = 'data.train={type: dialogues, path: "${RECIPE_FOLDER}/${RECIPE_A}.txt"}'
    assert load(minimal, override).recipe.data.train.config.path == folder / "alpha.txt"


def test_one_that_is_not_set(problems: Problems, minimal: str) -> None:
    assert problems(minimal + "name: x\ndevice: a${RECIPE_UNSET}b${RECIPE_A}\n") == [
        "r.yaml:7:1: device: environment variable RECIPE_UNSET is not set; set it, for example: export RECIPE_UNSET=..."
    ]


@pytest.mark.parametrize("written", ["${}", "${1A}", "${A B}", "${RECIPE_A:-x}"])
def test_what_names_no_variable(problems: Problems, minimal: str, written: str) -> None:
    assert problems(minimal + f"device: '{written}'\n") == [
        f"r.yaml:6:1: device: {written!r} does not name an environment variable; write $${{ for a plain ${{"
    ]


def test_a_variable_is_text_and_no_yaml(problems: Problems, minimal: str) -> None:
    assert problems(minimal + "seed: ${RECIPE_NUMBER}\n") == [
        "r.yaml:6:1: seed: expected an integer, not '3'; write a plain decimal number, without quotes"
    ]
