"""Tokenizer and model from a folder, with every way that this can go wrong told as one TeacherError."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from core_engine.errors import TeacherError
from core_engine_teachers import model_folder
from core_engine_teachers.devices import computes_on_cpu, has_fast_bfloat16, is_out_of_memory
from core_engine_teachers.forward import TorchForward
from core_engine_teachers.large import INSTALL, missing_libraries
from core_engine_teachers.options import EncoderOptions
from core_engine_teachers.padding import require_padding_is_harmless

log = structlog.get_logger("core_engine.teachers")


def load_tokenizer(folder: Path, options: EncoderOptions) -> PreTrainedTokenizerBase:
    """The folder's tokenizer."""
    try:
        return AutoTokenizer.from_pretrained(folder, **_source(options))
    except Exception as error:  # transformers raises whatever the tokenizer's own code does
        raise _cannot_load(folder, "tokenizer", error) from error


def load_forward(folder: Path, options: EncoderOptions, max_length: int, device: str) -> TorchForward:
    """The folder's model, ready to compute with the layers and the padding that ``options`` ask for."""
    forward = TorchForward(load_model(folder, options, max_length, device), folder, options.layers, options.padding)
    require_padding_is_harmless(forward, folder, options, max_length)
    return forward


def load_model(folder: Path, options: EncoderOptions, max_length: int, device: str) -> PreTrainedModel:
    """The folder's model without head, in evaluation mode, on ``device``, with every weight from its files.

    ``options.dtype`` is resolved, not ``auto``.
    """
    for option, problem in missing_libraries(options):
        raise TeacherError(f"{folder}: {option}: {problem}")
    _check_files(folder)
    _tell_slow_precision(options, device)
    try:
        model, report = AutoModel.from_pretrained(
            folder,
            dtype=getattr(torch, options.dtype),
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named, with the missing ones, by _check_weights
            **_placement(options, device),
            **_source(options),
        )
        if options.device_map is None and options.quantization is None:
            model.to(device)
    except Exception as error:  # transformers raises whatever the model's own code does
        if is_out_of_memory(error):
            raise _does_not_fit(folder, device) from error
        if options.quantization is not None:
            raise _cannot_quantize(folder, options.quantization, device, error) from error
        raise _cannot_load(folder, "model", error) from error
    _check_weights(folder, model, report)
    if model.config.is_encoder_decoder:
        raise TeacherError(f"{folder}: an encoder-decoder model; give an encoder or a decoder-only model")
    _check_positions(folder, model, max_length)
    model.config.use_cache = False  # no text is continued, so keys and values need not be kept
    frozen: PreTrainedModel = model.eval().requires_grad_(False)
    return frozen


def _placement(options: EncoderOptions, device: str) -> dict[str, Any]:
    """Where the weights go while they are loaded, and in what form."""
    if options.quantization is None:
        return {} if options.device_map is None else {"device_map": options.device_map}
    from transformers import BitsAndBytesConfig

    eight = options.quantization == "8bit"
    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_8bit=eight, load_in_4bit=not eight, bnb_4bit_compute_dtype=getattr(torch, options.dtype)
    )
    # Quantised weights cannot be moved afterwards.
    return {"quantization_config": config, "device_map": options.device_map or {"": device}}


def _tell_slow_precision(options: EncoderOptions, device: str) -> None:
    if options.dtype == "bfloat16" and computes_on_cpu(device, options) and not has_fast_bfloat16():
        log.warning("this processor has no bfloat16 instructions: dtype: float32 would be faster")


def _source(options: EncoderOptions) -> dict[str, Any]:
    # Remote code may live in another repository, which has to be fetched.
    return {"trust_remote_code": options.trust_remote_code, "local_files_only": not options.trust_remote_code}


def _cannot_load(folder: Path, what: str, error: Exception) -> TeacherError:
    if "trust_remote_code" in str(error):
        return TeacherError(
            f"{folder}: the {what} needs Python code that comes with it. If you trust its authors, set "
            f"trust_remote_code: true"
        )
    return TeacherError(
        f"{folder}: the {what} cannot be loaded ({type(error).__name__}: {error}). Copy or download it again; if it is "
        f"newer than your transformers, upgrade that"
    )


def _does_not_fit(folder: Path, device: str) -> TeacherError:
    return TeacherError(
        f"{folder}: the model does not fit in the memory of {device}: set dtype: bfloat16, quantization: 8bit or 4bit, "
        f"or device_map: auto"
    )


def _cannot_quantize(folder: Path, quantization: str, device: str, error: Exception) -> TeacherError:
    return TeacherError(
        f"{folder}: the model cannot be loaded with quantization: {quantization} on {device} ({type(error).__name__}: "
        f"{error}). Use a GPU that bitsandbytes supports with a current {INSTALL}, or drop the option"
    )


def _check_files(folder: Path) -> None:
    for file in model_folder.weight_files(folder):
        try:
            with safe_open(file, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise TeacherError(f"{file}: damaged ({error}); copy or download it again") from error


def _check_weights(folder: Path, model: PreTrainedModel, report: dict[str, Any]) -> None:
    """transformers fills what the files lack with random numbers; that must never pass for a teacher."""
    # A pooler comes after the hidden states, which are all that is used; many published models lack one.
    random = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    random += sorted(str(key[0]) for key in report["mismatched_keys"])
    if random:
        raise TeacherError(
            f"{folder}: the weight files do not fit config.json: {len(random)} weights are missing or of another "
            f"shape, such as {', '.join(random[:3])}. Copy or download the model again"
        )
    unused = sorted(report["unexpected_keys"])
    own = [key for key in unused if key.removeprefix(f"{model.base_model_prefix}.").split(".")[0] in model._modules]
    if own:
        log.warning("config.json has no place for some weights", count=len(own), such_as=own[:3], path=str(folder))


def _check_positions(folder: Path, model: PreTrainedModel, max_length: int) -> None:
    """Against the weights themselves: a model of unknown kind may use fewer positions than config.json says."""
    for name, module in model.named_modules():
        if not name.endswith("position_embeddings") or not isinstance(module, nn.Embedding):
            continue
        usable = module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        if max_length > usable:
            raise TeacherError(
                f"{folder}: max_length is {max_length}, but the model has {usable} positions: set max_length: {usable}"
            )
