"""A transformers model as an OpenVINO network on the processor."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from core_engine_teachers.quiet import quiet
from torch import Tensor, nn

from core_engine.errors import TeacherError
from core_engine_openvino.runtime import Precision, load_openvino

if TYPE_CHECKING:
    from core_engine_teachers.forward import TorchForward

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
#: Lowest cosine between a token's hidden state by torch in float32 and by the network.
_ALIKE = {"float32": 0.9999, "bfloat16": 0.95}


class OpenVINOForward:
    """Computes what ``model`` does, and keeps nothing of it. Several threads may call it at once.

    ``given``: what the tokenizer gives for each text. ``streams``: how many calls are computed side by side.
    Raises TeacherError where the model cannot be converted, or where the network computes something else.
    """

    def __init__(
        self,
        model: TorchForward,
        folder: Path,
        given: Iterable[str],
        max_length: int,
        precision: Precision,
        streams: int,
    ) -> None:
        names = [name for name in given if name in model.input_names]
        self.input_names = frozenset(names)
        self.vocabulary = model.vocabulary
        self._folder = folder
        ov = load_openvino()
        # Tracing needs tensors with version counters, which those of inference mode lack.
        with torch.inference_mode(False), torch.no_grad():
            network = self._convert(ov, _Traceable(model, names), names)
        threads = torch.get_num_threads()
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],  # else a processor with bfloat16 uses it unasked
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(threads),
            "ENABLE_CPU_PINNING": "NO",  # other work runs on these cores too
        }
        self._compiled = ov.Core().compile_model(network, "CPU", settings)
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._require_alike(model, names, max_length, _ALIKE[precision])

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """float32 ``[B, T, D]`` on the CPU."""
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            arrays = {name: inputs[name].numpy() for name in self.input_names}
            return torch.from_numpy(request.infer(arrays, share_inputs=True)[0])  # a copy of the request's own memory
        finally:
            self._idle.put(request)

    def _convert(self, ov: Any, model: nn.Module, names: list[str]) -> Any:
        mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
        example = {name: mask if name == "attention_mask" else torch.zeros_like(mask) for name in names}
        try:
            with quiet():  # it warns of every decision that tracing keeps; _require_alike looks whether they hold
                network = ov.convert_model(model, example_input=tuple(example.values()))
        except Exception as error:  # whatever tracing and conversion run into
            reason = str(error).strip().splitlines()
            raise TeacherError(
                f"{self._folder}: OpenVINO cannot convert this model ({type(error).__name__}"
                f"{': ' + reason[0] if reason else ''}): use type: hf"
            ) from error
        for node, name in zip(network.inputs, names, strict=True):
            node.get_tensor().set_names({name})
        return network

    def _require_alike(self, model: TorchForward, names: list[str], max_length: int, least: float) -> None:
        """Tracing keeps what the model did with one example: it has to hold for longer texts in larger batches too."""
        length = min(max_length, 48)
        lengths = torch.tensor([length, (length + 1) // 2, 1])
        source = torch.Generator().manual_seed(0)
        ids = torch.randint(self.vocabulary, (len(lengths), length), generator=source)
        mask = (torch.arange(length) < lengths.unsqueeze(1)).long()
        inputs = {name: torch.zeros_like(ids) for name in names} | {"input_ids": ids, "attention_mask": mask}
        wanted, found = (forward(inputs)[mask.bool()].float() for forward in (model, self))
        worst = float(torch.nn.functional.cosine_similarity(wanted, found, dim=-1).min())
        if not worst >= least:  # NaN is not either
            raise TeacherError(
                f"{self._folder}: after conversion to OpenVINO the model computes something else (hidden states have "
                f"a cosine of {worst:.4f} with torch's): use type: hf"
            )


class _Traceable(nn.Module):
    """Inputs by position, as tracing wants them."""

    def __init__(self, model: TorchForward, names: list[str]) -> None:
        super().__init__()
        self.inner = model.model  # so that its weights are found
        self._forward = model
        self._names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._forward(dict(zip(self._names, inputs, strict=True)))
