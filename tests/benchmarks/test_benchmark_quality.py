from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
import quality
import quality_maps
import quality_sets
import torch

from core_engine import Pairs, Splits
from core_engine.evaluation.metrics import score_rows
from core_engine.host.host import PluginHost
from core_engine.recipe.load import load_recipe

QUICKSTART = Path(__file__).parents[2] / "plugins" / "core_engine_data" / "quickstart.jsonl"
ROWS = ["identity", "low_rank_40k", "lattice:default", "lattice:40k", "shortcut", "control:frozen_lattice"]


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


def test_centred_sides_have_no_mean_in_training_and_unit_rows() -> None:
    source = torch.Generator().manual_seed(0)

    def pairs(rows: int) -> Pairs:
        tables = (torch.randn(rows, 6, generator=source) + shift for shift in (3.0, -2.0))
        return Pairs(*(torch.nn.functional.normalize(table, dim=-1) for table in tables))

    splits = Splits(pairs(500), pairs(40), pairs(30), corpus=pairs(20).targets)
    found = quality_sets.centred(splits)
    for name in ("train", "validation", "test"):
        for side in ("inputs", "targets"):
            before, after = (getattr(getattr(one, name), side) for one in (splits, found))
            torch.testing.assert_close(after.norm(dim=-1), torch.ones(len(after)))
            assert before.mean(0).norm() > 0.8
            assert after.mean(0).norm() < (0.1 if name == "train" else 0.3)
    whole = quality_sets.centred(attrs.evolve(splits, corpus=splits.test.targets))
    assert whole.corpus is not None
    assert torch.equal(whole.corpus, whole.test.targets)


def figures(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, rows: list[str]
) -> Any:
    arguments = ["--data", str(data), "--sets", name, "--seeds", "0", "1", "--output", str(data / "rows")]
    monkeypatch.setattr(sys, "argv", ["quality.py", *arguments, "--json", "--only", *rows])
    quality.main()
    return json.loads(capsys.readouterr().out)[name]


def test_every_row_has_its_figures_with_intervals_and_is_kept(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = figures(data, monkeypatch, capsys, "faq", [*ROWS, "wiener"])
    assert list(found) == ROWS  # there is no noise to filter
    for row, entry in found.items():
        metrics = {"mrr@10", "recall@1", "cosine", "global_mrr@10", "global_recall@1"}
        compared = set() if row == "lattice:default" else {"ahead_mrr@10", "ahead_recall@1", "ahead_cosine"}
        assert entry.keys() == {"parameters", "seeds", *metrics, *compared}
        for metric in metrics | compared:
            assert entry[metric]["low"] <= entry[metric]["value"] <= entry[metric]["high"]
    parameters = {row: entry["parameters"] for row, entry in found.items()}
    assert parameters["identity"] == 0
    assert {row: entry["seeds"] for row, entry in found.items()} == dict(zip(ROWS, [1, 2, 2, 2, 2, 1], strict=True))
    assert 39_000 < parameters["low_rank_40k"] < 40_000
    assert parameters["lattice:40k"] < 40_000
    assert 100_000 < parameters["lattice:default"] < 150_000
    assert 70_000 < parameters["shortcut"] < parameters["lattice:default"] - 30_000
    assert 0 < parameters["control:frozen_lattice"] < 5_000
    assert len({entry["cosine"]["value"] for entry in found.values()}) == len(ROWS)
    # Nothing is computed again.
    monkeypatch.setattr(quality, "fit_all", lambda tasks, jobs: pytest.fail("the rows are kept") if tasks else None)
    assert figures(data, monkeypatch, capsys, "faq", [*ROWS, "wiener"]) == found


def test_denoising_has_rows_of_its_own(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["identity", "ridge", "wiener", "gains", "lattice:40k"]
    found = figures(data, monkeypatch, capsys, "faq_denoising", rows)
    assert list(found) == rows[:-1]
    assert found["identity"]["cosine"]["value"] == pytest.approx(0.8, abs=0.01)
    # It is given the covariance of the noise, which the regression has to learn from few rows.
    assert found["wiener"]["cosine"]["value"] > found["ridge"]["cosine"]["value"]


def test_whitening_turns_loud_axes_down_and_sees_no_pair() -> None:
    source = torch.Generator().manual_seed(0)

    def pairs(rows: int) -> Pairs:
        shared = torch.randn(rows, 12, generator=source)
        loud = (torch.randn(rows, 2, generator=source) * 8 for _ in range(2))
        return Pairs(*(torch.cat([shared, other], dim=1) for other in loud), target_ids=torch.arange(rows))

    splits = Splits(pairs(400), pairs(60), pairs(60))
    given = quality_sets.SETS["wiki_weak"]

    def of(name: str, splits: Splits) -> torch.Tensor:
        return quality_maps.MAPS[name].fit(given, splits, 0).output

    def mrr(name: str) -> float:
        return float(score_rows(of(name, splits), splits.test)["mrr@10"].mean())

    assert mrr("whitening") > mrr("mean_shift") + 0.2
    shuffled = attrs.evolve(splits.train, targets=splits.train.targets.flip(0))
    torch.testing.assert_close(of("whitening", attrs.evolve(splits, train=shuffled)), of("whitening", splits))
    on_train = attrs.evolve(splits, test=splits.train)
    lengths = [(of(name, on_train) - splits.train.targets.mean(0)).norm() for name in ("whitening", "mean_shift")]
    assert lengths[0] == pytest.approx(float(lengths[1]), rel=1e-4)
    first = Pairs(splits.test.inputs[:7], splits.test.targets[:7])
    torch.testing.assert_close(of("whitening", attrs.evolve(splits, test=first)), of("whitening", splits)[:7])
