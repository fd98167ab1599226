"""The rephraser ``generate`` with a tiny Llama of random weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from core_engine_rephrasers import Generate
from core_engine_rephrasers.generate.rephraser import ModelRephraser
from safetensors.torch import load_file, save_file
from tiny_models import POSITIONS
from transformers import AutoTokenizer, LlamaForCausalLM

from core_engine import RephraserContext
from core_engine.errors import EngineError

PROMPT = "{text} is {count}"
TEXTS = ["where can i park my car", "the hotel", "is breakfast included"]


@pytest.fixture
def llama(tiny_model: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of the tiny model's folder that a test may change."""
    return Path(shutil.copytree(tiny_model("llama"), tmp_path / "llama"))


def build(folder: Path, seed: int = 0, **options: Any) -> ModelRephraser:
    given = {"model": str(folder), "prompt": PROMPT, "max_new_tokens": 8, **options}
    return Generate(**given).build(RephraserContext("cpu", seed))


def greedy(folder: Path, prompt: str, tokens: int) -> str:
    """The likeliest continuation, token by token and without a cache."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer(prompt)["input_ids"]
    start = len(ids)
    with torch.inference_mode():
        while len(ids) < start + tokens and ids[-1] != tokenizer.eos_token_id:
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return str(tokenizer.decode(ids[start:], skip_special_tokens=True))


def test_greedy_is_the_likeliest_continuation(llama: Path) -> None:
    found = build(llama, sample=False).rephrase(TEXTS, 2)
    expected = [greedy(llama, f"{text} is 2", 8).strip() for text in TEXTS]
    assert found == [[text] if text else [] for text in expected]
    assert any(found)


def test_the_chat_template_is_used_where_there_is_one(llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.chat_template = "night {{ messages[0]['content'] }} dogs"
    tokenizer.save_pretrained(llama)
    found = build(llama, sample=False).rephrase(TEXTS, 2)
    expected = [greedy(llama, f"night {text} is 2 dogs", 8).strip() for text in TEXTS]
    assert found == [[text] if text else [] for text in expected]


def test_samples_are_decided_by_the_seed_and_the_text(llama: Path) -> None:
    def drawn(seed: int, texts: list[str]) -> list[list[str]]:
        return build(llama, seed, temperature=3.0, top_p=1.0).rephrase(texts, 1)

    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = drawn(0, TEXTS)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert drawn(0, TEXTS[::-1]) == found[::-1]
    assert drawn(1, TEXTS) != found


def test_the_device_is_the_option_else_the_contexts(llama: Path) -> None:
    assert build(llama, device="meta")._device == "meta"
    assert build(llama)._device == "cpu"
    with pytest.raises(EngineError, match="cannot be loaded on no-such-device"):
        build(llama, device="no-such-device").rephrase(TEXTS, 1)


def test_a_text_that_leaves_no_room_is_named(llama: Path) -> None:
    with pytest.raises(
        EngineError, match=rf"'where can .* are more than the model's {POSITIONS} positions: lower max_new"
    ):
        build(llama, max_new_tokens=POSITIONS).rephrase(TEXTS, 1)


def test_weights_that_are_missing_are_not_made_up(llama: Path) -> None:
    weights = load_file(llama / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, llama / "model.safetensors", {"format": "pt"})
    with pytest.raises(EngineError, match=r"1 weights are missing, such as lm_head.weight"):
        build(llama).rephrase(TEXTS, 1)


def test_pickled_weights_are_refused(llama: Path) -> None:
    (llama / "model.safetensors").rename(llama / "pytorch_model.bin")
    options = Generate(model=str(llama))
    (found,) = options.check()
    assert found[0] == "model"
    assert "pickled weights" in found[1]
    with pytest.raises(EngineError, match="pickled weights"):
        build(llama).rephrase(TEXTS, 1)


def test_code_that_comes_with_a_model_is_not_run(llama: Path) -> None:
    config = llama / "config.json"
    config.write_text(
        config.read_text().replace(
            '"model_type": "llama"', '"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}'
        )
    )
    (llama / "own.py").write_text("raise SystemExit('this ran')\n")
    with pytest.raises(EngineError, match="trust_remote_code: true"):
        build(llama).rephrase(TEXTS, 1)


def test_an_encoder_is_refused(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(EngineError, match="cannot be loaded on cpu as a causal language model"):
        build(tiny_model("distilbert")).rephrase(TEXTS, 1)


def test_a_hub_id_is_looked_for_in_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    options = Generate(model="nobody/nothing")
    assert list(options.check()) == []
    with pytest.raises(EngineError, match="nobody/nothing"):
        options.build(RephraserContext("cpu", 0)).rephrase(TEXTS, 1)


def test_wrong_options_are_told(tmp_path: Path) -> None:
    missing = Generate(model=str(tmp_path / "none"), revision="main")
    assert [option for option, _ in missing.check()] == ["model", "revision"]
    for wrong in ({"temperature": 0.0}, {"top_p": 0.0}, {"max_new_tokens": 0}, {"prompt": "x"}, {"dtype": "int8"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Generate(model="m", **wrong)
