"""What a folder must hold to be a model, read without loading weights."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, get_args

from core_engine.errors import TeacherError
from core_engine_teachers.options import Dtype, Precision

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
_VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tekken.json",
)
TOKENIZER_FILES = (
    *_VOCABULARIES,
    "merges.txt",
    "bpe.codes",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
#: Tokenizers without a limit of their own state one of about 1e30, and some configs a million or more.
UNLIMITED = 1_000_000
#: ``model_type`` of RoBERTa and its kin, whose first position is pad_token_id + 1: those before it are never used.
_POSITIONS_AFTER_PADDING = frozenset(
    {
        "camembert",
        "data2vec-text",
        "ibert",
        "lilt",
        "longformer",
        "luke",
        "markuplm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)


def as_folder(model: str) -> Path | None:
    """The folder that ``model`` means (it may not exist), or None where it is a hub id."""
    path = Path(model).expanduser()
    return path if model.startswith((".", "~")) or path.is_absolute() else None


def problem(folder: Path) -> str | None:
    """Why ``folder`` cannot be loaded, and what to do about it; None where everything needed is there."""
    if not folder.is_dir():
        return f"{folder}: no such folder; give one that holds a model, or a hub id such as 'owner/name'"
    if not (folder / CONFIG).is_file():
        return f"{folder}: has no {CONFIG}; save the model there with save_pretrained('{folder}')"
    if (folder / ADAPTER).is_file():
        return (
            f"{folder / ADAPTER}: an adapter on top of another model, which transformers would load unseen; merge them "
            f"with peft's merge_and_unload() and save the result"
        )
    try:
        _read_object(folder / CONFIG)
        weights = weight_files(folder)
    except TeacherError as error:
        return str(error)
    if absent := [file.name for file in weights if not file.is_file()]:
        return f"{folder}: lacks {', '.join(absent)}, which {WEIGHTS_INDEX} names; copy or download the model again"
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        return f"{folder}: has no tokenizer; save it there with tokenizer.save_pretrained('{folder}')"
    return None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the model, sorted by name. Raises TeacherError where there are none."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / WEIGHTS_INDEX).is_file():
        shards = _read_object(folder / WEIGHTS_INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise TeacherError(f"{folder / WEIGHTS_INDEX}: has no weight_map; copy or download the model again")
        names = sorted({str(name) for name in shards.values()})
        if outside := [name for name in names if Path(name).name != name]:
            raise TeacherError(f"{folder / WEIGHTS_INDEX}: names a file outside the folder: {outside[0]!r}")
        return [folder / name for name in names]
    if pickled := sorted(folder.glob("*.bin")):
        raise TeacherError(
            f"{folder}: holds pickled weights only ({pickled[0].name}), which are not loaded because they can run "
            f'code. Convert them once: python -c "from transformers import AutoModel as M; '
            f"M.from_pretrained('{folder}').save_pretrained('{folder}')\""
        )
    raise TeacherError(f"{folder}: has no {WEIGHTS}; copy or download the model again")


def tokenizer_files(folder: Path) -> list[Path]:
    """The files that decide how text becomes tokens, in a fixed order."""
    return [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]


def hidden_size(folder: Path) -> int | None:
    """The dimension of the model's hidden states by its config.json, under the names that model families give it."""
    return _first_int(_read_object(folder / CONFIG), "hidden_size", "dim", "n_embd", "d_model")


def hidden_states(folder: Path) -> int | None:
    """How many hidden states the model has by its config.json, the embedding layer included."""
    layers = _first_int(_read_object(folder / CONFIG), "num_hidden_layers", "n_layers", "n_layer", "num_layers")
    return None if layers is None else layers + 1


def model_type(folder: Path) -> str | None:
    """The family of the model by its config.json, such as ``bert``."""
    stated = _read_object(folder / CONFIG).get("model_type")
    return stated if isinstance(stated, str) else None


def resolve_dtype(folder: Path, asked: Dtype) -> Precision:
    """The precision asked for; for ``auto`` the one that config.json states, float32 where it states none.

    Raises TeacherError where that is none that an encoder computes in.
    """
    if asked != "auto":
        return asked
    config = _read_object(folder / CONFIG)
    stated = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
    for precision in get_args(Precision):
        if precision == stated:
            return cast(Precision, precision)
    raise TeacherError(
        f"{folder / CONFIG}: states dtype {stated}, which 'dtype: auto' cannot follow: set dtype to "
        f"{', '.join(get_args(Precision))}"
    )


def resolve_max_length(folder: Path, asked: int | None, longest: int = UNLIMITED) -> int:
    """Tokens per text: what was asked for, else the model's own limit, and ``longest`` at most.

    Raises TeacherError where that cannot be.
    """
    positions = usable_positions(folder)
    if asked is not None:
        if positions is not None and asked > positions:
            raise TeacherError(
                f"{folder}: max_length is {asked}, but the model has {positions} positions: set max_length: "
                f"{positions} or less, or leave it out"
            )
        return asked
    settings = folder / "tokenizer_config.json"
    stated = _first_int(_read_object(settings), "model_max_length") if settings.is_file() else None
    limit = min(value for value in (positions, stated, longest) if value is not None)
    if limit >= UNLIMITED:
        raise TeacherError(f"{folder}: neither model nor tokenizer states a usable limit of tokens: set max_length")
    return limit


def usable_positions(folder: Path) -> int | None:
    """How many tokens the model has positions for, by its config.json; None where that says nothing of it."""
    return _usable_positions(_read_object(folder / CONFIG))


def require_layers(layers: Sequence[int], available: int, folder: Path) -> None:
    """TeacherError unless ``layers`` are all among ``available`` hidden states, the embedding layer included."""
    if outside := [layer for layer in layers if not -available <= layer < available]:
        raise TeacherError(
            f"{folder}: layer {outside[0]} does not exist: the model has {available} hidden states, from 0 "
            f"(embeddings) to {available - 1} (last, also -1)"
        )


def _usable_positions(config: dict[str, Any]) -> int | None:
    positions = _first_int(config, "max_position_embeddings", "n_positions")
    if positions is None or config.get("model_type") not in _POSITIONS_AFTER_PADDING:
        return positions
    padding = _first_int(config, "pad_token_id")
    return positions - (1 if padding is None else padding) - 1  # 1 is RoBERTa's


def _first_int(values: dict[str, Any], *names: str) -> int | None:
    """The first that is a number of something, if any is."""
    for name in names:
        value = values.get(name)
        # Limits are written as floats too, some of them as 1e30.
        if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
            return int(value)
    return None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TeacherError(f"{path}: cannot be read ({error}); copy or download the model again") from error
    if not isinstance(value, dict):
        raise TeacherError(f"{path}: is not a JSON object; copy or download the model again")
    return value
