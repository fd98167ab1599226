"""The encoder against models of six families, loaded from disk as a user's are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from core_engine_teachers import HuggingFace
from core_engine_teachers.encoder import Encoder
from structlog.testing import capture_logs
from tiny_models import CAUSAL, FAMILIES, POSITIONS, TEXTS
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from core_engine import Teacher, TeacherContext

ModelOf = Callable[[str], Path]


def build(folder: Path, **options: Any) -> Encoder:
    return HuggingFace(model=str(folder), **options).build(TeacherContext(device="cpu"))


def one_by_one(folder: Path, texts: list[str], pooling: str, max_length: int = POSITIONS) -> Tensor:
    """Each text alone, so that no padding and no mask is involved, pooled by hand."""
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            hidden = model(input_ids=ids).last_hidden_state[0]
        rows.append({"mean": hidden.sum(0) / len(hidden), "cls": hidden[0], "last": hidden[-1]}[pooling])
    return torch.stack(rows)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_what_each_text_gives_alone(tiny_model: ModelOf, family: str, pooling: str) -> None:
    folder = tiny_model(family)
    expected = one_by_one(folder, TEXTS, pooling)
    raw = build(folder, pooling=pooling, normalize=False).encode(TEXTS)
    torch.testing.assert_close(raw, expected, atol=1e-5, rtol=1e-5)
    unit = build(folder, pooling=pooling).encode(TEXTS)
    torch.testing.assert_close(unit, F.normalize(expected, dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_do_not_depend_on_the_batch(tiny_model: ModelOf, family: str) -> None:
    together = build(tiny_model(family), batch_tokens=10_000).encode(TEXTS)
    alone = build(tiny_model(family), batch_tokens=1).encode(TEXTS)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_fused_where_the_model_has_it(tiny_model: ModelOf, family: str) -> None:
    assert build(tiny_model(family))._model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(("family", "padding"), [("bert", 1), ("roberta", 1), ("gpt2", 2)])
def test_padding_is_the_tokenizers_own_token_or_else_its_end_token(
    tiny_model: ModelOf, family: str, padding: int
) -> None:
    encoder = build(tiny_model(family))
    seen: list[Tensor] = []
    encoder._model.get_input_embeddings().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder.encode(["where can i park my car", "dogs"])
    [ids] = seen
    assert set(ids[1, 3 if family not in CAUSAL else 1 :].tolist()) == {padding}


def test_the_contract_of_a_teacher(tiny_model: ModelOf) -> None:
    encoder = build(tiny_model("bert"))
    embeddings = encoder.encode(TEXTS)
    assert isinstance(encoder, Teacher)
    assert (embeddings.dtype, embeddings.shape) == (torch.float32, (len(TEXTS), encoder.dim))
    assert encoder.encode([]).shape == (0, 16)
    # Training multiplies embeddings by parameters, which autograd refuses for tensors made in inference mode.
    (embeddings @ torch.ones(16, requires_grad=True)).sum().backward()


def test_one_text_in_place_of_a_list_is_refused(tiny_model: ModelOf) -> None:
    with pytest.raises(TypeError, match="sequence of texts"):
        build(tiny_model("bert")).encode("the hotel")


def test_nothing_is_loaded_before_the_first_text(tiny_model: ModelOf) -> None:
    with capture_logs() as logs:
        encoder = build(tiny_model("bert"))
        _ = encoder.dim, encoder.fingerprint, encoder.encode([])
        assert [log["event"] for log in logs] == ["teacher located"]
        encoder.encode(["dogs"])
    assert [log["event"] for log in logs] == ["teacher located", "teacher loaded"]


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_long_texts_are_cut_with_one_warning(tiny_model: ModelOf, family: str) -> None:
    folder = tiny_model(family)
    texts = [*TEXTS, "dogs " * 30, "cats " * 40]
    with capture_logs() as logs:
        cut = build(folder, max_length=8, normalize=False).encode(texts)
    special = 0 if family in CAUSAL else 2
    assert [log for log in logs if log["log_level"] == "warning"] == [
        {
            "event": "texts cut",
            "log_level": "warning",
            "count": 4,
            "of": 9,
            "max_length": 8,
            "longest": 40 + special,
        }
    ]
    torch.testing.assert_close(cut, one_by_one(folder, texts, "mean", max_length=8), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_of_exactly_the_models_length_fits(tiny_model: ModelOf, family: str) -> None:
    folder = tiny_model(family)
    text = "dogs " * (POSITIONS if family in CAUSAL else POSITIONS - 2)
    with capture_logs() as logs:
        row = build(folder, max_length=POSITIONS, normalize=False).encode([text])
    torch.testing.assert_close(row, one_by_one(folder, [text], "mean"), atol=1e-5, rtol=1e-5)
    assert not [log for log in logs if log["log_level"] == "warning"]


def test_without_a_tokenizers_limit_a_long_text_is_cut_to_robertas_usable_positions(
    tiny_model: ModelOf, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model("roberta"), tmp_path / "roberta"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    row = build(folder, normalize=False).encode(["dogs " * 40])
    torch.testing.assert_close(row, one_by_one(folder, ["dogs " * 40], "mean"), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_lower_precision_stays_close_and_answers_in_float32(tiny_model: ModelOf, family: str, dtype: str) -> None:
    exact = build(tiny_model(family)).encode(TEXTS)
    rough = build(tiny_model(family), dtype=dtype).encode(TEXTS)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert (1 - F.cosine_similarity(rough, exact)).max() < 1e-2


def test_unit_length_holds_to_float32_even_in_half_precision(tiny_model: ModelOf) -> None:
    rough = build(tiny_model("bert"), dtype="bfloat16").encode(TEXTS)
    torch.testing.assert_close(rough.norm(dim=1), torch.ones(len(TEXTS)))
