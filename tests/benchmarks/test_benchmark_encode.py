"""The texts are what the benchmark says, and its figures say what they are."""

from __future__ import annotations

import json
import statistics
import warnings
from collections.abc import Iterator

import encode
import pytest
import structlog
import torch
from core_engine_teachers.devices import has_fast_bfloat16
from core_engine_teachers.locate import locate_minilm

NAMES = {"sentence_transformers", "sentence_transformers_bf16", "fp32", "bf16", "openvino"}


def test_texts_are_distinct_of_mixed_length_and_always_the_same() -> None:
    from transformers import AutoTokenizer

    texts = encode.make_texts(2000)
    assert len(set(texts)) == 2000
    assert texts[:60] == encode.make_texts(60)
    tokenizer = AutoTokenizer.from_pretrained(locate_minilm(None).path)
    lengths = [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]]
    assert statistics.mean(lengths) == pytest.approx(59, abs=1)
    assert max(lengths) == 251


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    configured, before = structlog.is_configured(), structlog.get_config()
    yield
    if configured:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()


@pytest.mark.usefixtures("logging_as_before")
def test_json_has_a_figure_for_each_encoder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sentence_transformers")
    monkeypatch.setattr(encode, "BATCH_SIZES", (16, 32))
    monkeypatch.setattr("sys.argv", ["encode.py", "--json", "--texts", "60", "--rounds", "1"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encode.main()
    found = json.loads(capsys.readouterr().out)
    assert found["texts_per_s"].keys() == found["cosine_min"].keys() == found["ratios"].keys() == NAMES
    assert found["texts"] == 60
    assert found["batch_sizes"]["sentence_transformers"] in (16, 32)
    assert found["ratios"]["sentence_transformers"] == 1
    for name in NAMES:
        if name in found["left_out"]:
            assert found["texts_per_s"][name] is found["cosine_min"][name] is None
        else:
            assert found["texts_per_s"][name] > 0
            assert found["cosine_min"][name] > (0.99 if "bf16" in name else 0.99999)
    if not has_fast_bfloat16():
        assert found["left_out"]["bf16"] == "the processor has no bfloat16 instructions"


def test_bfloat16_is_measured_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.dtype] = []

    def library(dtype: torch.dtype) -> object:
        made.append(dtype)
        return lambda batch_size: lambda texts: torch.ones(len(texts), 384)

    monkeypatch.setattr(encode, "sentence_transformers", library)
    monkeypatch.setattr(encode, "has_fast_bfloat16", lambda: True)
    encoders, left_out = encode.contenders()
    assert {"bf16", "sentence_transformers_bf16"} <= {name for name, _ in encoders}
    assert not {"bf16", "sentence_transformers_bf16"} & left_out.keys()
    assert made == [torch.float32, torch.bfloat16]
