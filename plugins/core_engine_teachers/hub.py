"""Models of the Hugging Face hub: its local cache, and the hub itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from core_engine.errors import TeacherError
from core_engine_teachers import model_folder

log = structlog.get_logger("core_engine.teachers")

#: Seconds that the hub may take to answer before it counts as unreachable.
TIMEOUT = 10.0


def cached(
    model: str,
    revision: str | None,
    entry: str = model_folder.CONFIG,
    problem: Callable[[Path], str | None] = model_folder.problem,
) -> Path | None:
    """The complete snapshot of ``model`` in the hub's local cache, or None. Touches no network.

    ``entry``: a file at its root. ``problem``: what a folder lacks to be complete, None where nothing.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, entry, revision=revision)
    except HFValidationError:
        return None  # not a hub id: download() says so
    if not isinstance(found, str) or problem(Path(found).parent):
        return None
    return Path(found).parent


def download(model: str, revision: str | None, remote_code: bool, extra: Sequence[str] = ()) -> Path:
    """The model's folder in the hub's cache, after fetching what is missing. Raises TeacherError.

    ``extra``: patterns of files that are needed besides those that every model has.
    """
    from huggingface_hub import errors, snapshot_download

    from core_engine_teachers.quiet import quiet

    here = f"model {model!r} is no folder here and not in the hub's cache"
    folder_hint = f"write ./{model} if you mean a folder"
    at = f" at revision {revision!r}" if revision else ""
    try:
        with quiet():
            _require_safetensors(model, revision)
            log.info("downloading model", model=model, revision=revision)
            folder = snapshot_download(model, revision=revision, allow_patterns=[*_patterns(remote_code), *extra])
    except errors.HFValidationError as error:
        raise TeacherError(f"{here}, and not a hub id either: write 'owner/name', or {folder_hint}") from error
    except errors.GatedRepoError as error:
        raise TeacherError(
            f"model {model!r}: gated on the hub. Accept its terms at https://huggingface.co/{model}, then log in with "
            f"'hf auth login' or set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise TeacherError(f"model {model!r}: the hub has no revision {revision!r} of it") from error
    except errors.RepositoryNotFoundError as error:
        raise TeacherError(
            f"{here}, and the hub does not have it, or it is private: check the name, or log in with 'hf auth login'; "
            f"{folder_hint}"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise TeacherError(
            f"{here}{at}, and the hub is switched off by HF_HUB_OFFLINE: unset it, or download the model elsewhere "
            f"with 'hf download {model}' and give its folder; {folder_hint}"
        ) from error
    except TeacherError:
        raise
    except Exception as error:  # whatever the HTTP library of this version raises
        raise TeacherError(
            f"{here}{at}, and cannot be downloaded from the hub ({type(error).__name__}: {error}): check the network, "
            f"or download it elsewhere with 'hf download {model}' and give its folder; {folder_hint}"
        ) from error
    return Path(folder)


def _require_safetensors(model: str, revision: str | None) -> None:
    """Ask the hub once, with a time limit: what is unreachable or unusable fails before gigabytes are fetched."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(model, revision=revision, timeout=TIMEOUT)
    names = {sibling.rfilename for sibling in info.siblings or ()}
    if not names & {model_folder.WEIGHTS, model_folder.WEIGHTS_INDEX}:
        raise TeacherError(
            f"model {model!r}: the hub has no {model_folder.WEIGHTS} of it, and pickled weights are not loaded because "
            f"they can run code. Try a revision that has it, or convert the model to safetensors and give its folder"
        )


def _patterns(remote_code: bool) -> list[str]:
    wanted = [model_folder.CONFIG, model_folder.WEIGHTS, model_folder.WEIGHTS_INDEX, "model-*.safetensors"]
    return [*wanted, *model_folder.TOKENIZER_FILES, *(["*.py"] if remote_code else [])]
