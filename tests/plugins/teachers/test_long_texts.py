"""Texts above max_length: an error unless they are to be cut."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from reference import build, one_by_one
from structlog.testing import capture_logs
from tiny_models import CAUSAL, FAMILIES, POSITIONS, TEXTS

from core_engine import embed
from core_engine.errors import TeacherError
from core_engine.store.store import EmbeddingStore

ModelOf = Callable[[str], Path]
LONG = [*TEXTS, "dogs " * 30, "cats " * 40]


def test_they_are_an_error_that_says_what_to_do(tiny_model: ModelOf) -> None:
    encoder = build(tiny_model("bert"), max_length=17)
    for refuse in (encoder.encode, encoder.check_texts):
        with pytest.raises(TeacherError) as error:
            refuse(LONG)
        assert str(error.value) == (
            "2 of 9 texts are longer than max_length 17: the longest has 42 tokens, the first such begins "
            f"{LONG[-2][:80]!r}. Set too_long: cut, raise max_length, or drop long texts with data.filters.max_chars"
        )


def test_they_are_counted_over_all_texts_before_any_is_encoded(tiny_model: ModelOf, tmp_path: Path) -> None:
    encoder = build(tiny_model("bert"), max_length=17, batch_tokens=32)  # a few texts a call
    texts = [f"{'dogs ' * (number % 20)}{number}" for number in range(2000)]
    with pytest.raises(TeacherError, match=r"^\d+ of 2000 texts are longer than max_length 17: the longest has 2\d"):
        embed(texts, encoder, EmbeddingStore(tmp_path, encoder.fingerprint, encoder.dim))
    assert encoder.usage["tokens"] == 0


def test_raising_the_maximum_is_no_remedy_where_the_model_has_no_more_positions(tiny_model: ModelOf) -> None:
    with pytest.raises(TeacherError) as error:
        build(tiny_model("bert")).encode(["dogs " * 1000])
    assert "Set too_long: cut, or drop long texts" in str(error.value)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_they_are_cut_with_one_warning(tiny_model: ModelOf, family: str) -> None:
    folder = tiny_model(family)
    encoder = build(folder, max_length=8, too_long="cut", normalize=False)
    encoder.check_texts(LONG)
    with capture_logs() as logs:
        cut = embed(LONG, encoder, store=None)
    assert [(log["count"], log["of"]) for log in logs if log["log_level"] == "warning"] == [(4, 9)]
    assert encoder.usage["cut"] == 4
    torch.testing.assert_close(cut, one_by_one(folder, LONG, max_length=8), atol=1e-5, rtol=1e-5)


def test_the_prompt_counts(tiny_model: ModelOf) -> None:
    folder = tiny_model("bert")
    build(folder, max_length=8).encode(["where can i park my car"])
    with pytest.raises(TeacherError, match="1 of 1 texts are longer than max_length 8: the longest has 9 tokens"):
        build(folder, max_length=8, prompt="and ").encode(["where can i park my car"])
    row = build(folder, max_length=8, prompt="and ", too_long="cut", normalize=False).encode(
        ["where can i park my car"]
    )
    torch.testing.assert_close(row, one_by_one(folder, ["and where can i park my"]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_of_exactly_the_models_length_fits(tiny_model: ModelOf, family: str, padding: str) -> None:
    folder = tiny_model(family)
    texts = [("dogs " * (POSITIONS if family in CAUSAL else POSITIONS - 2)).strip(), "cats"]
    rows = build(folder, max_length=POSITIONS, padding=padding, normalize=False).encode(texts)
    torch.testing.assert_close(rows, one_by_one(folder, texts), atol=1e-5, rtol=1e-5)


def test_without_a_tokenizers_limit_a_long_text_is_cut_to_robertas_usable_positions(
    tiny_model: ModelOf, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model("roberta"), tmp_path / "roberta"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    row = build(folder, normalize=False, too_long="cut").encode(["dogs " * 40])
    torch.testing.assert_close(row, one_by_one(folder, ["dogs " * 40]), atol=1e-5, rtol=1e-5)
