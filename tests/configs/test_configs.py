"""Every recipe in configs/ is valid, and those on the shipped pairs run as they stand. (tests/acceptance runs the
others, and test_advanced.py the one that needs models from the hub.)
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from core_engine import Engine
from core_engine.recipe.load import load_recipe

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted(CONFIGS.glob("*.yaml"))
OBJECTIVES = sorted((CONFIGS / "objectives").glob("*.yaml"))
ON_SHIPPED_PAIRS = [path for path in RECIPES if not path.name.startswith(("faq", "advanced"))]


def test_the_recipes_are_the_ones_that_the_documentation_names() -> None:
    assert {path.stem for path in RECIPES} == {
        *("quickstart", "autoencoder", "mixed", "nca", "advanced"),
        *("faq", "faq_40k", "faq_cosine", "faq_autoencoder", "faq_denoising"),
    }


@pytest.mark.parametrize("path", [*RECIPES, *OBJECTIVES], ids=lambda path: path.stem)
def test_a_recipe_is_valid(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORE_ENGINE_DATA", str(tmp_path))
    folder = tmp_path / "faq"
    folder.mkdir()
    for part in ("train", "valid", "test"):
        (folder / f"{part}.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    assert load_recipe(path).recipe.name == path.stem


@pytest.mark.parametrize("path", ON_SHIPPED_PAIRS, ids=lambda path: path.stem)
def test_a_recipe_on_the_shipped_pairs_runs_and_trains(path: Path, tmp_path: Path) -> None:
    result = Engine.from_recipe(path, [f"output={tmp_path}", "loggers=[]"]).run()
    assert result is not None
    assert result.parameters_without_gradient == []
    assert result.test["recall@1"] > 0.3
    assert result.test["cosine"] != pytest.approx(result.untrained["cosine"], abs=1e-3)


@pytest.mark.parametrize("path", OBJECTIVES, ids=lambda path: path.stem)
def test_an_objective_trains_on_the_shipped_pairs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORE_ENGINE_DATA", str(tmp_path))
    overrides = [f"output={tmp_path}", "train.epochs=1", "train.batch_size=48", "train.optimizer.lr=1e-3"]
    overrides += ["data.train={type: quickstart}", "data.validation=null", "data.test=null"]
    result = Engine.from_recipe(path, overrides).run()
    assert result is not None
    assert all(math.isfinite(value) for value in result.test.values())
    assert result.parameters_without_gradient == []
    assert result.test["cosine"] != result.untrained["cosine"]
