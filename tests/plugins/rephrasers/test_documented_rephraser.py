"""The rephraser that docs/data.md shows, with tiny models in place of those that translate."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import transformers as t
from tiny_models import save_tokenizer

from core_engine import Kind, RephraserContext
from core_engine.host.host import PluginHost
from core_engine.host.registry import Provider

DATA_MD = Path(__file__).parents[3] / "docs" / "data.md"


def test_it_goes_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", DATA_MD.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (code,) = [block for block in blocks if "def rephrasers()" in block]
    (tmp_path / "documented_rephraser.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    import documented_rephraser  # type: ignore[import-not-found]

    host = PluginHost()
    host.register(documented_rephraser, Provider("documented", "documented", "1"))
    config = host.registry.get(Kind.REPHRASER, "back_translation").component.config
    shape = {"vocab_size": 32, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 1, "num_heads": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name in ("there", "back"):
            model = t.T5ForConditionalGeneration(t.T5Config(**shape, decoder_start_token_id=1, eos_token_id=2))
            model.save_pretrained(tmp_path / name)
            save_tokenizer(tmp_path / name, causal=False)
    built = config(str(tmp_path / "there"), str(tmp_path / "back")).build(RephraserContext("cpu", 0))
    found = built.rephrase(["where can i park", "breakfast"], 3)
    assert [len(wordings) for wordings in found] == [3, 3]
    assert all(isinstance(text, str) for wordings in found for text in wordings)
