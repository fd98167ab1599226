"""What a Sentence Transformers folder does with a text's pooled embedding."""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from core_engine.errors import TeacherError
from core_engine_teachers.sentence_transformer.files import AGAIN
from core_engine_teachers.sentence_transformer.modules import Dense, Normalize


class SentenceHead:
    """Dense and Normalize modules in their order, then the first ``truncate`` dimensions.

    float32 ``[B, D] -> [B, D2]``, on the device of its input. Weights are read at the first call. Raises TeacherError
    where they do not fit the module's config.
    """

    def __init__(self, steps: tuple[Dense | Normalize, ...], truncate: int | None) -> None:
        self._steps = steps
        self._truncate = truncate

    def __call__(self, pooled: Tensor) -> Tensor:
        for step, layer in zip(self._steps, self._layers, strict=True):
            pooled = F.normalize(pooled, dim=-1) if layer is None else _apply(step, layer.to(pooled.device), pooled)
        return pooled if self._truncate is None else pooled[:, : self._truncate]

    @cached_property
    def _layers(self) -> list[nn.ModuleDict | None]:
        return [_load(step) if isinstance(step, Dense) else None for step in self._steps]


def _apply(step: Dense | Normalize, layer: nn.ModuleDict, pooled: Tensor) -> Tensor:
    output: Tensor = layer["activation"](layer["linear"](pooled))
    if isinstance(step, Dense) and step.use_residual:
        output = output + (layer["residual"](pooled) if "residual" in layer else pooled)
    return output


def _load(dense: Dense) -> nn.ModuleDict:
    layer = nn.ModuleDict({"linear": nn.Linear(dense.inputs, dense.outputs, bias=dense.bias)})
    if dense.use_residual and dense.inputs != dense.outputs:
        layer["residual"] = nn.Linear(dense.inputs, dense.outputs, bias=False)
    try:
        weights = load_file(dense.weights)
    except (SafetensorError, OSError) as error:
        raise TeacherError(f"{dense.weights}: damaged ({error}); {AGAIN}") from error
    expected = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != found:
        raise TeacherError(f"{dense.weights}: holds {found}, but {dense.config.name} asks for {expected}; {AGAIN}")
    layer.load_state_dict({name: tensor.to(torch.float32) for name, tensor in weights.items()})
    layer["activation"] = getattr(nn, dense.activation)()
    return layer.requires_grad_(False)
