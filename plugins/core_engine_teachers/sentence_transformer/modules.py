"""The modules after the transformer in a Sentence Transformers folder: Pooling, Dense, Normalize."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen

from core_engine.errors import TeacherError
from core_engine_teachers import options
from core_engine_teachers.sentence_transformer.files import AGAIN, AbsentFileError, flag, read_object, whole_number

#: What Sentence Transformers calls each mode, in the order in which it concatenates several that older keys ask for.
_MODES: dict[str, options.Pooling] = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
_OLD_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
#: ``torch.nn`` modules without parameters, made with their defaults as Sentence Transformers makes them.
ACTIVATIONS = frozenset(
    {"ELU", "GELU", "Identity", "LeakyReLU", "Mish", "ReLU", "SELU", "SiLU", "Sigmoid", "Softplus", "Tanh"}
)
_DENSE_KEYS = {
    "in_features",
    "out_features",
    "bias",
    "activation_function",
    "module_input_name",
    "module_output_name",
    "use_residual",
}


@frozen
class Pooling:
    """``modes``: in this package's words; several are concatenated. ``include_prompt``: pool over the prompt too."""

    config: Path
    modes: tuple[options.Pooling, ...]
    include_prompt: bool


@frozen
class Dense:
    """``activation(W x + b)``, plus x (or ``residual`` x where the sizes differ) with ``use_residual``."""

    config: Path
    weights: Path
    inputs: int
    outputs: int
    bias: bool
    activation: str
    use_residual: bool


@frozen
class Normalize:
    """To unit length."""

    config: Path


def read_pooling(folder: Path) -> Pooling:
    file = folder / "config.json"
    config = read_object(file)
    unknown = config.keys() - {
        "word_embedding_dimension",
        "embedding_dimension",
        "include_prompt",
        "pooling_mode",
        *_OLD_KEYS,
    }
    if unknown:
        raise _unknown(file, "Pooling", unknown)
    asked = config.get("pooling_mode")
    if asked is None:
        asked = [mode for key, mode in _OLD_KEYS.items() if config.get(key)] or ["mean"]
    modes = [asked] if isinstance(asked, str) else asked
    if not isinstance(modes, list) or not modes or not all(mode in _MODES for mode in map(str, modes)):
        raise TeacherError(f"{file}: module Pooling has pooling_mode {asked!r}; known: {', '.join(_MODES)}. {AGAIN}")
    return Pooling(file, tuple(_MODES[mode] for mode in modes), flag(file, config, "include_prompt", default=True))


def read_dense(folder: Path) -> Dense:
    file, weights = folder / "config.json", folder / "model.safetensors"
    config = read_object(file)
    if unknown := config.keys() - _DENSE_KEYS:
        raise _unknown(file, "Dense", unknown)
    _require_sentence_embedding(file, "Dense", config)
    sizes = [whole_number(file, config, key, least=1) for key in ("in_features", "out_features")]
    inputs, outputs = sizes
    if inputs is None or outputs is None:
        raise TeacherError(f"{file}: module Dense lacks in_features or out_features; {AGAIN}")
    name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    activation = str(name).rpartition(".")[2]
    if not str(name).startswith("torch.nn.") or activation not in ACTIVATIONS:
        raise TeacherError(
            f"{file}: module Dense has the activation function {name!r}; known are those of torch.nn: "
            f"{', '.join(sorted(ACTIVATIONS))}"
        )
    if not weights.is_file():
        root = folder.parent
        raise AbsentFileError(
            f"{folder}: module Dense has no {weights.name}, and pickled weights are not loaded because they can run "
            f'code. Convert them once: python -c "from sentence_transformers import SentenceTransformer as S; '
            f"S('{root}').save_pretrained('{root}')\""
        )
    return Dense(
        config=file,
        weights=weights,
        inputs=inputs,
        outputs=outputs,
        bias=flag(file, config, "bias", default=True),
        activation=activation,
        use_residual=flag(file, config, "use_residual", default=False),
    )


def read_normalize(folder: Path) -> Normalize:
    """Older folders hold no file for it."""
    file = folder / "config.json"
    if file.is_file():
        config = read_object(file)
        if unknown := config.keys() - {"module_input_name", "module_output_name"}:
            raise _unknown(file, "Normalize", unknown)
        _require_sentence_embedding(file, "Normalize", config)
    return Normalize(file)


def _require_sentence_embedding(file: Path, module: str, config: dict[str, Any]) -> None:
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise TeacherError(
                f"{file}: module {module} has {key} {config[key]!r}; only 'sentence_embedding' is supported"
            )


def _unknown(file: Path, module: str, keys: set[str]) -> TeacherError:
    return TeacherError(f"{file}: module {module} has settings that are not supported: {', '.join(sorted(keys))}")
