"""The page: what is in it, that it needs nothing else, and that texts of the data stay texts."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import numpy as np
import pytest

from core_engine import Engine
from core_engine.errors import CheckpointError, DataError, OutputError
from core_engine.evaluation.signal import study_signal
from core_engine.host.host import PluginHost
from core_engine.report import write
from core_engine.report.drawing import Drawing
from core_engine.report.figures import draw_figures
from core_engine.report.gather import Facts, gather
from core_engine.report.page import render
from core_engine.report.write import write_report

SECTIONS = ("verdict", "table", "training", "space", "retrieval", "examples", "errors", "lattice", "run", "recipe")
FIGURES = {
    *("loss", "validation", "cosine_core", "cosine_teacher", "recall", "length"),
    *("state_size", "gradient", "reach", "cells_size", "cells_importance"),
}


@pytest.fixture(scope="module")
def facts(run_dir: Path) -> Facts:
    return gather(run_dir, None, None, PluginHost.discover())


@pytest.fixture(scope="module")
def figures(facts: Facts) -> dict[str, Drawing]:
    return draw_figures(facts)


@pytest.fixture(scope="module")
def page(facts: Facts, figures: dict[str, Drawing]) -> str:
    return render(facts, figures)


@pytest.fixture(scope="module")
def tree(page: str) -> Element:
    """Parsed as browsers do, and without one error."""
    parsed: Element = html5lib.HTMLParser(namespaceHTMLElements=False, strict=True).parse(page)
    return parsed


def words(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def test_all_sections_and_figures_are_there(tree: Element, figures: dict[str, Drawing]) -> None:
    assert [heading.get("id") for heading in tree.iter("h2")] == list(SECTIONS)
    assert [link.get("href") for link in tree.iter("a")] == [f"#{name}" for name in SECTIONS]
    assert set(figures) == FIGURES
    ids = [element.get("id") for element in tree.iter() if element.get("id") is not None]
    assert len(ids) == len(set(ids))
    for element in tree.iter():
        for name in (element.get("aria-labelledby") or "").split():
            assert name in ids
    assert {f"{name}-caption" for name in FIGURES} <= set(ids)
    assert tree.get("lang") == "en"


def test_nothing_is_fetched_or_run(tree: Element) -> None:
    tags = {str(element.tag).rpartition("}")[2] for element in tree.iter()}
    assert not tags & {"script", "link", "iframe", "object", "embed", "img", "form", "base", "foreignObject"}
    for element in tree.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            if name.rpartition("}")[2] in ("href", "src", "action", "data", "style"):
                drawn = value.startswith("data:image/png;base64,")
                assert drawn or not re.search(r"https?:|//|javascript:|data:|url\((?!#)", value)
    (policy,) = [meta for meta in tree.iter("meta") if meta.get("http-equiv")]
    assert "default-src 'none'" in str(policy.get("content"))
    assert not re.search(r"@import|url\(", "".join(words(style) for style in tree.iter("style")))


def test_texts_of_the_data_stay_texts(tree: Element, page: str, facts: Facts) -> None:
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#39;owned&#39;)") > 5
    shown = [*facts.best, *facts.worst]
    articles = [words(article) for article in tree.iter("article")]
    for row, article in zip(shown, articles, strict=True):
        assert " ".join(row.text.split()) in article
    assert "\x00" not in page
    assert "\N{REPLACEMENT CHARACTER}" in page


def test_the_figures_of_the_table_are_those_of_the_run(tree: Element, run_dir: Path) -> None:
    result = json.loads((run_dir / "result.json").read_text())
    table = next(tree.iter("table"))
    heads = [words(head).replace(" ", "_") for head in table.iter("th") if head.get("scope") == "col"]
    rows = {words(row[0]): dict(zip(heads, map(words, row), strict=True)) for row in table.iter("tr")}
    assert list(rows) == ["map", "core", "untrained core", "identity", "mean_shift", "ridge"]
    (own,) = [row for row in table.iter("tr") if row.get("class") == "own"]
    assert words(own[0]) == "core"
    assert rows["core"]["parameters"] == f"{result['parameters']:,}"
    wanted = {"core": result["test"], "untrained core": result["untrained"], **result["baselines"]}
    for name, figures in wanted.items():
        for metric in set(figures) - {"parameters", "constant_cosine"}:
            shown = float(rows[name][metric].replace("\N{MINUS SIGN}", "-"))
            assert shown == pytest.approx(figures[metric], abs=6e-4), (name, metric)


def test_captions_say_what_was_computed(tree: Element, facts: Facts, run_dir: Path) -> None:
    captions = {str(caption.get("id")).removesuffix("-caption"): words(caption) for caption in tree.iter("figcaption")}
    result = json.loads((run_dir / "result.json").read_text())
    assert f"target: {result['test']['cosine']:.3f} on average" in captions["cosine_core"]
    assert f"targets {result['test']['cosine_shuffled']:.3f}" in captions["cosine_core"]
    assert f"target: {result['baselines']['identity']['cosine']:.3f} on" in captions["cosine_teacher"]
    for name, label in (("test", "the core"), ("identity", "the teacher as it is")):
        row = result["test"] if name == "test" else result["baselines"][name]
        told = f"{label} {row['recall@1']:.3f} at k = 1 and {row['recall@10']:.3f} at k = 10"
        assert told in captions["recall"]
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if record["kind"] == "train"]
    assert f"in training from {losses[0]:.3g} to {losses[-1]:.3g}" in captions["loss"]
    assert f"{float(facts.signal.importance.max()):.4f} at most" in captions["cells_importance"]


def test_a_curve_is_drawn_through_the_figures(figures: dict[str, Drawing], facts: Facts) -> None:
    """Points of the size of the state, read back from the drawing by the positions of its ticks."""
    svg = figures["state_size"].svg
    ticks = re.findall(r'<g id="state_size-ytick_\d+">.*?y="([\d.]+)".*?>([\d.]+)</text>', svg, re.DOTALL)
    (first, low), *_, (last, high) = [(float(y), float(label)) for y, label in ticks]
    curve = re.search(r'<path d="([^"]*)"[^>]*style="[^"]*stroke: var\(--first\)', svg)
    assert curve is not None
    heights = [float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", curve[1])]
    drawn = [low + (y - first) * (high - low) / (last - first) for y in heights]
    assert drawn == pytest.approx(facts.signal.state_rms.tolist(), abs=0.02 * high)


def test_the_own_test_split_is_made_again(facts: Facts, run_dir: Path) -> None:
    result = json.loads((run_dir / "result.json").read_text())
    assert facts.notes == []
    assert facts.rows == result["data"]["rows"]["test"]
    # A core before its first step is made again as well, so that the difference is taken row by row.
    assert {one.name: one.paired for one in facts.verdict.comparisons}["untrained core"]


def test_the_same_run_gives_the_same_bytes(run_dir: Path, page: str, figures: dict[str, Drawing]) -> None:
    again = gather(run_dir, None, None, PluginHost.discover())
    drawings = draw_figures(again)
    assert render(again, drawings) == page
    assert {name: drawing.png for name, drawing in drawings.items()} == {n: d.png for n, d in figures.items()}


def test_data_that_changed_since_the_run_are_told(run_dir: Path, tmp_path: Path) -> None:
    changed = tmp_path / "run"
    shutil.copytree(run_dir, changed)
    result = json.loads((changed / "result.json").read_text())
    result["test"]["mrr@10"] += 0.01
    (changed / "result.json").write_text(json.dumps(result))
    (changed / "metrics.jsonl").unlink()
    facts = gather(changed, None, None, PluginHost.discover())
    assert [note.split(" (")[0] for note in facts.notes] == [
        "The core's figures here are not those in result.json",
        "The run kept no metrics.jsonl",
    ]
    assert "(mrr@10 differ)" in facts.notes[0]
    page = render(facts, draw_figures(facts))
    assert "so there are no curves" in page


def test_rows_of_another_file(run_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"question": f"q {n}", "answer": f"a {n}"}) + "\n" for n in range(7)))
    facts = gather(run_dir, other, None, PluginHost.discover())
    assert (facts.rows, list(facts.table), facts.groups) == (7, ["core", "identity", "mean_shift"], [])
    page = render(facts, draw_figures(facts))
    assert "of other.jsonl" in page
    assert "The rows name no groups." in page
    with pytest.raises(DataError, match=r"none\.jsonl"):
        gather(run_dir, tmp_path / "none.jsonl", None, PluginHost.discover())


def test_embeddings_without_texts(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype("f4")
    np.save(tmp_path / "x.npy", rows)
    np.save(tmp_path / "y.npy", np.concatenate([rows, -rows[:, :4]], axis=1))
    recipe = {
        "data": {
            "train": {"type": "embeddings", "inputs": str(tmp_path / "x.npy"), "targets": str(tmp_path / "y.npy")},
            "split": {"validation": 0.2, "test": 0.3},
        },
        "mode": {"type": "dialogue"},
        "reshape": {"type": "linear", "channels": 2},
        "lattice": {"size": [4, 2, 1], "channels": 4, "steps": 2, "kernel": {"type": "gru"}},
        "loss": [{"type": "cosine"}],
        "train": {"epochs": 1, "batch_size": 16},
        "evaluation": {"baselines": ["identity", "ridge"]},
        "loggers": [{"type": "jsonl"}],
        "output": str(tmp_path / "runs"),
    }
    result = Engine.from_recipe(recipe).run()
    assert result is not None
    facts = gather(result.run_dir, None, None, PluginHost.discover())
    assert facts.notes == [
        "The rows are embeddings without texts: examples show the rows' ids, and there are no lengths."
    ]
    assert [one.name for one in facts.verdict.comparisons] == ["ridge", "untrained core"]
    drawings = draw_figures(facts)
    assert set(drawings) == FIGURES - {"cosine_teacher", "length"}
    page = render(facts, drawings)
    html5lib.HTMLParser(strict=True).parse(page)
    assert "(embedding, row " in page
    assert "identity is left out: identity needs inputs and targets of one dimension, not 8 and 12." in page


def test_a_run_that_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no finished run"):
        gather(tmp_path, None, None, PluginHost.discover())


def test_an_output_that_cannot_depend_on_the_input_is_told(facts: Facts, run_dir: Path) -> None:
    import attrs
    import torch

    from core_engine import load_core
    from core_engine.core.reach import Reach
    from core_engine.report.page import lattice_warnings

    assert lattice_warnings(facts) == []
    core: Any = load_core(run_dir).core
    with torch.no_grad():
        core.normalizer.target_scale.zero_()
    constant = study_signal(core, torch.randn(9, 384), torch.randn(9, 384))
    assert lattice_warnings(attrs.evolve(facts, signal=constant)) == [
        "The output does not depend on the input: it is the same for all rows studied."
    ]
    cut = attrs.evolve(facts.signal, reach=[Reach(0.0, 0.0, 0.0)])
    (warning,) = lattice_warnings(attrs.evolve(facts, signal=cut))
    assert warning == "The output cannot depend on the input: no input cell can reach an output cell."


def test_a_report_is_written_whole_or_not_at_all(
    tmp_path: Path, figures: dict[str, Drawing], monkeypatch: pytest.MonkeyPatch
) -> None:
    some = {"loss": figures["loss"]}
    assert write_report(tmp_path / "new", "first", some) == tmp_path / "new/report.html"
    write_report(tmp_path / "new", "second", {"recall": figures["recall"]})
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert names == ["new/report.html", "new/report/recall.png"]

    def full(path: Path, text: str, encoding: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.Path, "write_text", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_report(tmp_path / "new", "third", some)
    assert names == sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert (tmp_path / "new/report.html").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_the_space_of_the_outputs_stands_beside_that_of_the_answers(facts: Facts, tree: Element) -> None:
    (table,) = tree.findall(".//div[@aria-label='The space of the outputs']/table")
    rows = {words(row[0]): [words(cell) for cell in row[1:]] for row in table.findall("./tbody/tr")}
    assert list(rows) == [name.replace("_", " ") for name in facts.space["core"]]
    assert rows["alignment"] == [f"{facts.space['core']['alignment']:.3f}", "0.000"]
    assert rows["cka"][1] == "1.000"
    assert rows["rank correlation"][1] == ""
