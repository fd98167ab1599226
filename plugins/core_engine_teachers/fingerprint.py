"""What identifies an encoder's embeddings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from core_engine_teachers import model_folder
from core_engine_teachers.digests import file_digest
from core_engine_teachers.options import EncoderOptions

#: Raise it when the code of this package gives other embeddings than before from the same files and options.
ENCODER_VERSION = 2


def fingerprint(folder: Path, options: EncoderOptions, max_length: int, identity: Mapping[str, object]) -> str:
    """sha256, in hex, of everything that the embeddings depend on: the model's files and the options that matter.

    ``options.dtype`` is resolved, and ``identity`` what else there is. Device, batch size and padding are no part of
    it: they change embeddings by rounding only.
    """
    files = [folder / model_folder.CONFIG, *model_folder.tokenizer_files(folder), *model_folder.weight_files(folder)]
    if not (folder / model_folder.WEIGHTS).is_file():
        files.append(folder / model_folder.WEIGHTS_INDEX)
    if options.trust_remote_code:
        files += sorted(folder.glob("*.py"))
    whole = {
        "encoder": ENCODER_VERSION,
        "files": {file.name: file_digest(file) for file in files},
        "pooling": options.pooling,
        "layers": options.layers,
        "normalize": options.normalize,
        "prompt": options.prompt,
        "special_tokens": options.special_tokens,
        "max_length": max_length,
        "too_long": options.too_long,
        "dtype": options.dtype,
        "quantization": options.quantization,
        "remote_code": options.trust_remote_code,
        "identity": dict(identity),
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
