"""What identifies an encoder's embeddings."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

from core_engine.errors import TeacherError
from core_engine_teachers import model_folder
from core_engine_teachers.options import EncoderOptions

#: Raise it when the code of this package gives other embeddings than before from the same files and options.
ENCODER_VERSION = 1


def fingerprint(folder: Path, options: EncoderOptions, max_length: int) -> str:
    """sha256, in hex, of everything that the embeddings depend on: the model's files and the options that matter.

    Device and batch size are no part of it: they change embeddings by rounding only.
    """
    files = [folder / model_folder.CONFIG, *model_folder.tokenizer_files(folder), *model_folder.weight_files(folder)]
    if options.trust_remote_code:
        files += sorted(folder.glob("*.py"))
    identity = {
        "encoder": ENCODER_VERSION,
        "files": {file.name: file_digest(file) for file in files},
        "pooling": options.pooling,
        "normalize": options.normalize,
        "dtype": options.dtype,
        "max_length": max_length,
        "remote_code": options.trust_remote_code,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256, in hex, of a file's bytes. Raises TeacherError where it cannot be read."""
    try:
        status = path.stat()
        return _digest(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise TeacherError(f"{path}: cannot be read ({error.strerror}); copy or download the model again") from error


@cache
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
