"""evaluate beyond the table of metrics: the space, groups, and what a conversation's history is worth."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAIRS = ROOT / "plugins/core_engine_data/quickstart.jsonl"
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def conversations() -> list[dict[str, Any]]:
    """Each shipped question as a second turn that says nothing by itself; the first one holds the question."""
    found = []
    for row in map(json.loads, PAIRS.read_text().splitlines()[:60]):
        turns = [
            ("user", row["question"]),
            ("assistant", "One moment, please."),
            ("user", "Well, and?"),
            ("assistant", row["answer"]),
        ]
        turns = turns if len(found) % 3 else turns[:1] + turns[3:]  # a third has one turn, and no history
        messages = [{"role": role, "content": content} for role, content in turns]
        found.append({"id": row["id"], "group": row["group"], "messages": messages})
    return found


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("talks") / "talks.jsonl"
    path.write_text(lines(conversations()))
    return path


@pytest.fixture(scope="module")
def talking_run(cli: Cli, talks: Path) -> Path:
    recipe = talks.with_name("talks.yaml")
    recipe.write_text(
        f"extends: {ROOT}/configs/quickstart.yaml\n"
        "data:\n"
        f"  train: {{type: dialogues, path: {talks}, context_turns: 2}}\n"
        "train: {epochs: 1}\n"
    )
    return Path(json.loads(cli("run", recipe, "--json", cwd=talks.parent).stdout)["run_dir"])


def test_the_history_tells_what_the_question_does_not(cli: Cli, talking_run: Path, talks: Path) -> None:
    scores = json.loads(cli("evaluate", talking_run, "--data", talks, "--history", "--json").stdout)
    history = scores["history"]
    assert history["rows"] == 40  # two thirds of the conversations; their first turns have none
    for name in ("core", "identity"):
        with_it, without, gain = (history[name][key]["mrr@10"] for key in ("with", "without", "gain"))
        assert with_it > 0.3 > 0.1 > without, name
        value, low, high = gain
        assert value == pytest.approx(with_it - without)
        assert 0 < low < value < high
    shown = cli("evaluate", talking_run, "--data", talks, "--history").stdout
    assert "the 40 rows with a history, with it and without it" in shown
    assert "gain of the core from the history" in shown


def test_groups_are_listed_by_name_worst_first(cli: Cli, finished_run: dict[str, Any], tmp_path: Path) -> None:
    rows = [json.loads(line) for line in PAIRS.read_text().splitlines()[:60]]
    other = tmp_path / "other.jsonl"
    other.write_text(lines(rows))
    scores = json.loads(cli("evaluate", finished_run["run_dir"], "--data", other, "--by-group", "--json").stdout)
    groups = scores["groups"]
    names = [row["group"] for row in rows]
    assert {group["group"]: group["rows"] for group in groups} == {name: names.count(name) for name in names}
    ranked = [group["mrr@10"] for group in groups]
    assert ranked == sorted(ranked)
    for metric in ("cosine", "recall@1", "mrr@10"):
        mean = sum(group["rows"] * group[metric] for group in groups) / 60
        assert mean == pytest.approx(scores["test"][metric])
    shown = cli("evaluate", finished_run["run_dir"], "--data", other, "--by-group").stdout
    places = [shown.index(f"{group['group']} ") for group in groups]
    assert places == sorted(places)


def test_the_core_stands_beside_the_teacher_row_by_row(cli: Cli, finished_run: dict[str, Any], tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(f"{line}\n" for line in PAIRS.read_text().splitlines()[:60]))
    scores = json.loads(cli("evaluate", finished_run["run_dir"], "--data", other, "--json").stdout)
    assert scores["ahead"].keys() == scores["baselines"].keys() == {"identity", "mean_shift"}
    for name, ahead in scores["ahead"].items():
        assert ahead.keys() == scores["intervals"].keys()
        for metric, (value, low, high) in ahead.items():
            assert value == pytest.approx(scores["test"][metric] - scores["baselines"][name][metric], abs=1e-9)
            assert low <= value <= high
    value, low, high = scores["ahead"]["identity"]["mrr@10"]
    shown = cli("evaluate", finished_run["run_dir"], "--data", other).stdout
    assert "ahead of identity, row against row: " in shown
    assert f"mrr@10 {value:+.3f} ({low:+.3f} to {high:+.3f})" in shown
    assert "Nothing checks whether training has seen these rows" in shown


def test_a_group_cannot_command_the_terminal(cli: Cli, finished_run: dict[str, Any], tmp_path: Path) -> None:
    rows = [json.loads(line) for line in PAIRS.read_text().splitlines()[:20]]
    other = tmp_path / "other.jsonl"
    other.write_text(lines([{**row, "group": f"\x1b]0;owned\x07{row['group']}"} for row in rows]))
    shown = cli("evaluate", finished_run["run_dir"], "--data", other, "--by-group").stdout
    assert "\N{REPLACEMENT CHARACTER}]0;owned" in shown
    assert "\x1b" not in shown


def test_the_space_stands_beside_the_teachers(cli: Cli, finished_run: dict[str, Any], tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(f"{line}\n" for line in PAIRS.read_text().splitlines()[:60]))
    scores = json.loads(cli("evaluate", finished_run["run_dir"], "--data", other, "--json").stdout)
    assert not {"groups", "history"} & scores.keys()  # which nobody asked for
    space = scores["space"]
    assert space["teacher"]["alignment"] == 0
    assert space["teacher"]["cka"] == pytest.approx(1)
    assert set(space["core"]) - set(space["teacher"]) == {"rank_correlation", "overlap@10"}
    assert 0.3 < space["core"]["rank_correlation"] < 1
    assert space["teacher"]["question_gap"] > 0.2
    shown = cli("evaluate", finished_run["run_dir"], "--data", other).stdout
    assert "the space of the outputs, beside the teacher's own answers" in shown


def test_what_rows_do_not_have_is_an_error(cli: Cli, finished_run: dict[str, Any], tmp_path: Path) -> None:
    rows = [json.loads(line) for line in PAIRS.read_text().splitlines()[:20]]
    other = tmp_path / "other.jsonl"
    other.write_text(lines([{key: row[key] for key in ("question", "answer")} for row in rows]))
    for option, message in (("--by-group", "no row names a group"), ("--history", "no row has a history")):
        done = cli("evaluate", finished_run["run_dir"], "--data", other, option, code=2)
        assert message in done.stderr
