from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import quality
import quality_sets

from core_engine.host.host import PluginHost
from core_engine.recipe.load import load_recipe

QUICKSTART = Path(__file__).parents[2] / "plugins" / "core_engine_data" / "quickstart.jsonl"
ROWS = ["identity", "gains", "lattice:default", "control:shuffled_targets"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shipped pairs as the set ``faq``, their groups in one part each."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "faq").mkdir()
    lines = QUICKSTART.read_text(encoding="utf-8").splitlines()
    groups = list(dict.fromkeys(json.loads(line)["domain"] for line in lines))
    part_of = {group: ("test", "valid", "train", "train")[i % 4] for i, group in enumerate(groups)}
    for part in ("train", "valid", "test"):
        chosen = [line for line in lines if part_of[json.loads(line)["domain"]] == part]
        (folder / "faq" / f"{part}.jsonl").write_text("\n".join(chosen) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("teacher", [quality_sets.MINILM, *(quality_sets.layer(number) for number in range(7))])
def test_the_teachers_of_the_sets_are_ones_that_a_recipe_can_name(teacher: dict[str, Any]) -> None:
    data = {"train": {"type": "quickstart"}}
    recipe = quality_sets.PLAIN | {"data": data, "teachers": {"teacher": teacher}, "teacher": "teacher"}
    loaded = load_recipe(recipe, [], PluginHost.discover()).recipe
    assert loaded.teachers["teacher"].config.embedding_dim() == 384


def figures(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    arguments = ["--data", str(data), "--sets", "faq", "--seeds", "0", "1", "--output", str(data / "rows")]
    monkeypatch.setattr(sys, "argv", ["quality.py", *arguments, "--json", "--only", *ROWS])
    quality.main()
    return json.loads(capsys.readouterr().out)


def test_every_row_has_its_figures_with_intervals_and_is_kept(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = figures(data, monkeypatch, capsys)
    assert list(found) == ["faq"]
    assert list(found["faq"]) == ROWS
    for row, entry in found["faq"].items():
        metrics = {"mrr@10", "recall@1", "cosine", "global_mrr@10", "global_recall@1"}
        compared = set() if row == "lattice:default" else {"ahead_mrr@10", "ahead_recall@1"}
        assert entry.keys() == {"parameters", *metrics, *compared}
        for metric in metrics | compared:
            assert entry[metric]["low"] <= entry[metric]["value"] <= entry[metric]["high"]
    assert found["faq"]["identity"]["parameters"] == 0
    assert found["faq"]["lattice:default"]["parameters"] > 100_000
    assert found["faq"]["lattice:default"]["cosine"] != found["faq"]["control:shuffled_targets"]["cosine"]
    # Nothing is computed again.
    monkeypatch.setattr(quality, "load", lambda name, data: pytest.fail("the rows are kept"))
    assert figures(data, monkeypatch, capsys) == found
