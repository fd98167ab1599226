"""A loaded model as the encoder sees it: token ids in, hidden states out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from core_engine.errors import TeacherError
from core_engine_teachers import model_folder
from core_engine_teachers.options import Padding

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Forward(Protocol):
    """A model that is ready to compute.

    ``input_names``: what it takes of what a tokenizer gives. ``vocabulary``: token ids are below it. A call takes int64
    ``[B, T]`` on the CPU for ``input_ids``, ``attention_mask`` (1 at the text's tokens, 0 at padding) and whatever else
    of ``input_names`` the tokenizer gives, and returns hidden states, floating point ``[B, T, D]``, on any device.
    Several threads may call it at once.
    """

    @property
    def input_names(self) -> frozenset[str]: ...
    @property
    def vocabulary(self) -> int: ...
    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor: ...


class TorchForward:
    """A transformers model in evaluation mode. Gives one layer's hidden states, or the float32 mean of several.

    ``layers``: indices into the model's hidden states, of which 0 is the embedding layer and -1 the last, after its
    final norm. ``padding``: the side that the inputs are padded on.
    Raises TeacherError where the model cannot be used so.
    """

    def __init__(self, model: PreTrainedModel, folder: Path, layers: Sequence[int] = (-1,), padding: Padding = "right"):
        self.model = model
        self.input_names = frozenset(inspect.signature(model.forward).parameters)
        if absent := sorted({"input_ids", "attention_mask"} - self.input_names):
            raise TeacherError(
                f"{folder}: {type(model).__name__} takes no {' and no '.join(absent)}: use a text encoder that does"
            )
        embeddings = cast(Tensor, model.get_input_embeddings().weight)
        self.vocabulary = len(embeddings)
        # Weights that are streamed in from elsewhere have no device of their own; they move the inputs themselves.
        self._device = torch.device("cpu") if embeddings.is_meta else embeddings.device
        self._folder = folder
        self._layers = tuple(layers)
        self._padding = padding
        self._padding_id = _position_padding_id(model)

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        arguments: dict[str, Any] = {name: ids.to(self._device) for name, ids in self._positioned(inputs).items()}
        if self._layers == (-1,):
            return cast(Tensor, self.model(**arguments).last_hidden_state)
        hidden = self.model(**arguments, output_hidden_states=True).hidden_states
        model_folder.require_layers(self._layers, len(hidden), self._folder)
        if len(self._layers) == 1:
            return cast(Tensor, hidden[self._layers[0]])
        total = sum(hidden[i].float().to(hidden[self._layers[-1]].device) for i in self._layers)
        return cast(Tensor, total) / len(self._layers)

    def _positioned(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Left-padded inputs with the positions that the texts would have without padding.

        On the right there is nothing to do: every model counts from the left by itself, whatever its first number is.
        """
        mask = inputs["attention_mask"]
        if self._padding == "right" or bool(mask.all()):
            return inputs
        if self._padding_id is not None:  # the model counts the ids that are not this one
            return {**inputs, "input_ids": inputs["input_ids"].masked_fill(mask == 0, self._padding_id)}
        if "position_ids" in self.input_names:
            return {**inputs, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
        return inputs


def _position_padding_id(model: nn.Module) -> int | None:
    """The padding id of RoBERTa and its kin, which derive positions from the ids that are not it; else None."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.padding_idx
    return None
