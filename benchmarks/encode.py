"""How many texts a second the teacher MiniLM encodes, beside Sentence Transformers: in turns, in one process.

    python benchmarks/encode.py [--json] [--texts 2000] [--rounds 5] [--threads N]

The texts are runs of 1 to 13 consecutive sentences of the shipped question-answer pairs: all different, 59 tokens on
average, 251 at most. Sentence Transformers encodes them at several batch sizes, of which the fastest counts. Rates are
medians over the rounds, tokenisation included. ``cosine_min`` is the smallest cosine of any text's embedding with the
one of Sentence Transformers in float32 at batch size 32. What this machine cannot do has the reason under ``left_out``;
bfloat16 is measured where the processor has instructions for it, since it is emulated elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import core_engine_data
import torch
import torch.nn.functional as F
from core_engine_openvino import OpenVINO
from core_engine_teachers import MiniLM
from core_engine_teachers.devices import has_fast_bfloat16
from core_engine_teachers.locate import locate_minilm
from quiet import interleaved
from torch import Tensor

from core_engine import TeacherContext
from core_engine.log import configure_logging

BATCH_SIZES = (8, 16, 32, 64)
NAMES = ("sentence_transformers", "sentence_transformers_bf16", "fp32", "bf16", "openvino")
_REFERENCE = ("sentence_transformers", 32)
_SENTENCES, _SHARE = 13, 2 / 3
Encode = Callable[[Sequence[str]], Tensor]
#: A name of NAMES, and the batch size where there is a choice.
Key = tuple[str, int | None]


def make_texts(count: int) -> list[str]:
    """The first ``count`` of a fixed sequence of distinct texts; n sentences are ``_SHARE`` as frequent as n - 1."""
    path = Path(core_engine_data.__file__).with_name("quickstart.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    answers = [row[key] for row in rows for key in ("question", "answer")]
    sentences = [sentence for text in answers for sentence in re.split(r"(?<=[.?!])\s+", text)]
    source, texts = random.Random(0), dict[str, None]()
    weights = [_SHARE**n for n in range(_SENTENCES)]
    while len(texts) < count:
        [length] = source.choices(range(1, _SENTENCES + 1), weights)
        start = source.randrange(len(sentences) - length + 1)
        texts.setdefault(" ".join(sentences[start : start + length]))
    return list(texts)


def sentence_transformers(dtype: torch.dtype) -> Callable[[int], Encode]:
    """For a batch size, the library's own encode of the same model, as its documentation builds it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    folder = str(locate_minilm(None).path)
    transformer = Transformer(folder, model_kwargs={"dtype": dtype}, max_seq_length=256)
    model = SentenceTransformer(modules=[transformer, Pooling(384, "mean"), Normalize()], device="cpu")

    def encode(batch_size: int, texts: Sequence[str]) -> Tensor:
        options: dict[str, Any] = {"show_progress_bar": False, "convert_to_tensor": True}
        return model.encode(list(texts), batch_size=batch_size, **options).float()

    return lambda batch_size: partial(encode, batch_size)


def contenders() -> tuple[dict[Key, Encode], dict[str, str]]:
    """What can run here, and why the rest cannot."""
    context, left_out = TeacherContext(device="cpu"), dict[str, str]()
    library = sentence_transformers(torch.float32)
    found: dict[Key, Encode] = {("sentence_transformers", size): library(size) for size in BATCH_SIZES}
    found["fp32", None] = MiniLM().build(context).encode
    if has_fast_bfloat16():
        library = sentence_transformers(torch.bfloat16)
        found |= {("sentence_transformers_bf16", size): library(size) for size in BATCH_SIZES}
        found["bf16", None] = MiniLM(dtype="bfloat16").build(context).encode
    else:
        reason = "the processor has no bfloat16 instructions"
        left_out |= {"sentence_transformers_bf16": reason, "bf16": reason}
    if find_spec("openvino") is None:
        left_out["openvino"] = 'openvino is not installed: pip install "core-engine[openvino]"'
    else:
        found["openvino", None] = OpenVINO().build(context).encode
    return found, left_out


def processor() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.*)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return f"{found[1] if found else platform.machine()}, {os.cpu_count()} processors"


def measure(texts: list[str], rounds: int) -> dict[str, Any]:
    encoders, left_out = contenders()
    seconds = interleaved({key: partial(encode, texts) for key, encode in encoders.items()}, rounds, tries=1)
    reference = encoders[_REFERENCE](texts)
    rates: dict[str, float | None] = {}
    cosines: dict[str, float | None] = {}
    batch_sizes: dict[str, int] = {}
    for name in NAMES:
        best = min((key for key in encoders if key[0] == name), key=lambda key: seconds[key], default=None)
        if best is None:
            rates[name] = cosines[name] = None
            continue
        rates[name] = len(texts) / seconds[best]
        cosines[name] = float(F.cosine_similarity(encoders[best](texts), reference, dim=1).min())
        if best[1] is not None:
            batch_sizes[name] = best[1]
    base = len(texts) / min(seconds[key] for key in encoders if key[0] == "sentence_transformers")
    return {
        "texts_per_s": rates,
        "cosine_min": cosines,
        "ratios": {name: rate and rate / base for name, rate in rates.items()},
        "batch_sizes": batch_sizes,
        "left_out": left_out,
        "texts": len(texts),
        "threads": torch.get_num_threads(),
        "processor": processor(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="default: torch's own choice")
    arguments = parser.parse_args()
    configure_logging(verbosity=-1)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    if find_spec("sentence_transformers") is None:
        parser.error("needs what it compares with: pip install sentence-transformers")
    found = measure(make_texts(arguments.texts), arguments.rounds)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{found['processor']}, {found['threads']} threads, {found['texts']} texts")
    print(f"{'encoder':<30}{'texts/s':>10}{'ratio':>8}{'smallest cosine':>18}")
    for name in NAMES:
        if name in found["left_out"]:
            print(f"{name:<30}{found['left_out'][name]}")
            continue
        size = f" (batch {found['batch_sizes'][name]})" if name in found["batch_sizes"] else ""
        rate, ratio, cosine = (found[key][name] for key in ("texts_per_s", "ratios", "cosine_min"))
        print(f"{name + size:<30}{rate:>10.0f}{ratio:>8.2f}{cosine:>18.6f}")


if __name__ == "__main__":
    main()
