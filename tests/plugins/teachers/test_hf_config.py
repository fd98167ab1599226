"""What is known of a teacher before anything is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from core_engine_teachers import HuggingFace, MiniLM, teachers
from core_engine_teachers.model_folder import as_folder, resolve_max_length
from tiny_models import FAMILIES, POSITIONS

from core_engine.errors import TeacherError


def test_the_plugin_offers_them() -> None:
    assert {"hf": HuggingFace, "minilm": MiniLM}.items() <= {c.name: c.config for c in teachers()}.items()


@pytest.mark.parametrize("family", FAMILIES)
def test_dimension_by_every_familys_name_for_it(tiny_model: Callable[[str], Path], family: str) -> None:
    assert HuggingFace(model=str(tiny_model(family))).embedding_dim() == 16


def test_dimension_of_what_is_not_here_is_unknown(tmp_path: Path) -> None:
    assert HuggingFace(model="owner/name").embedding_dim() is None
    assert HuggingFace(model="not a hub id").embedding_dim() is None
    assert HuggingFace(model=str(tmp_path)).embedding_dim() is None


def test_dimension_of_a_cached_model(bert: Path, hub_cache: Path) -> None:
    snapshot = hub_cache / "models--owner--name" / "snapshots" / "0123abc"
    snapshot.parent.mkdir(parents=True)
    bert.rename(snapshot)
    (hub_cache / "models--owner--name" / "refs").mkdir()
    (hub_cache / "models--owner--name" / "refs" / "main").write_text("0123abc")
    assert HuggingFace(model="owner/name").embedding_dim() == 16
    assert HuggingFace(model="owner/name", revision="0123abc").embedding_dim() == 16
    assert HuggingFace(model="owner/name", revision="other").embedding_dim() is None


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "median"},
        {"padding": "both"},
        {"layer": []},
        {"layer": [1, 1]},
        {"too_long": "split"},
        {"device_map": "balanced"},
        {"quantization": "2bit"},
        {"max_length": 0},
        {"dtype": "int8"},
        {"batch_tokens": 0},
        {"model": ""},
    ],
    ids=str,
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        HuggingFace(**{"model": "owner/name", **options})


def test_options_of_presets_have_the_same_validators() -> None:
    for name in ("dtype", "batch_tokens", "too_long"):
        assert getattr(attrs.fields(MiniLM), name).validator == getattr(attrs.fields(HuggingFace), name).validator


def test_what_is_a_folder_and_what_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert as_folder("owner/name") is None  # what a name means does not depend on the working directory
    assert as_folder("./absent") == Path("absent")
    assert as_folder("../absent") == Path("../absent")
    assert as_folder("~/absent") == Path.home() / "absent"
    assert as_folder(str(tmp_path / "absent")) == tmp_path / "absent"
    assert as_folder("owner/other") is None
    assert as_folder("distilbert-base-uncased") is None


def test_problems_of_a_folder_are_known_to_check(bert: Path) -> None:
    teacher = HuggingFace(model=str(bert), revision="main")
    assert [option for option, _ in teacher.check()] == ["revision"]
    (bert / "config.json").unlink()
    assert [option for option, _ in teacher.check()] == ["model", "revision"]
    assert list(HuggingFace(model="owner/name", revision="main").check()) == []


def set_limits(folder: Path, positions: float | None, tokenizer: float | None, padding: int | None = 1) -> None:
    for name, key, value in (
        ("config.json", "max_position_embeddings", positions),
        ("config.json", "pad_token_id", padding),
        ("tokenizer_config.json", "model_max_length", tokenizer),
    ):
        content = json.loads((folder / name).read_text()) | {key: value}
        (folder / name).write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


@pytest.mark.parametrize(
    ("positions", "tokenizer", "limit"),
    [(40, 30, 30), (30, 40, 30), (40, None, 40), (None, 40, 40), (40, int(1e30), 40), (40, 1e30, 40)],
)
def test_the_models_own_limit(bert: Path, positions: int | None, tokenizer: float | None, limit: int) -> None:
    set_limits(bert, positions, tokenizer)
    assert resolve_max_length(bert, None) == limit


@pytest.mark.parametrize("stated", [None, int(1e30), 1_000_000])
def test_no_usable_limit_is_an_error_unless_one_is_given(bert: Path, stated: int | None) -> None:
    set_limits(bert, None, stated)
    with pytest.raises(TeacherError, match="set max_length"):
        resolve_max_length(bert, None)
    assert resolve_max_length(bert, 9) == 9


def test_a_tokenizers_limit_may_be_exceeded_but_not_the_models(bert: Path) -> None:
    set_limits(bert, POSITIONS, 10)
    assert resolve_max_length(bert, POSITIONS) == POSITIONS
    with pytest.raises(TeacherError, match=f"max_length is {POSITIONS + 1}, but the model has {POSITIONS} positions"):
        resolve_max_length(bert, POSITIONS + 1)


@pytest.mark.parametrize(
    ("padding", "tokenizer", "limit"),
    [(1, None, 38), (1, 1e30, 38), (1, 512, 38), (1, 30, 30), (0, None, 39), (5, None, 34), (None, None, 38)],
)
def test_positions_that_start_behind_the_padding_id_are_not_all_usable(
    tiny_model: Callable[[str], Path], tmp_path: Path, padding: int | None, tokenizer: float | None, limit: int
) -> None:
    folder = Path(shutil.copytree(tiny_model("roberta"), tmp_path / "roberta"))
    set_limits(folder, 40, tokenizer, padding)
    assert resolve_max_length(folder, None) == limit
