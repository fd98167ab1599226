"""A causal language model that is asked for the wordings of each text in turn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from core_engine_teachers import model_folder
from core_engine_teachers.locate import locate
from core_engine_teachers.quiet import quiet
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from core_engine.errors import DataError, EngineError
from core_engine_rephrasers import replies
from core_engine_rephrasers.generate import Generate


class ModelRephraser:
    """``device``: a torch device string. Random numbers are those of ``seed`` and the text alone; the caller's
    generators are left as they were.
    """

    def __init__(self, options: Generate, device: str, seed: int) -> None:
        self._options = options
        self._device = device
        self._seed = seed

    def rephrase(self, texts: Sequence[str], count: int) -> list[list[str]]:
        """Up to ``count`` wordings of each text, as many as the model gives.

        The model is loaded here and let go at the end. EngineError where it cannot be loaded.
        """
        folder = locate(self._options.model, self._options.revision, self._options.trust_remote_code).path
        with quiet():
            tokenizer, model = self._loaded(folder)
            found = []
            for text in texts:
                prompt = self._tokens(tokenizer, replies.filled(self._options.prompt, text, count))
                self._require_room(prompt, text, folder)
                reply = tokenizer.decode(self._continued(model, tokenizer, prompt, text), skip_special_tokens=True)
                found.append(replies.wordings(reply, text, count))
        return found

    def _loaded(self, folder: Path) -> tuple[Any, Any]:
        source = {
            "trust_remote_code": self._options.trust_remote_code,
            "local_files_only": not self._options.trust_remote_code,
        }
        try:
            model_folder.weight_files(folder)
            dtype = getattr(torch, model_folder.resolve_dtype(folder, self._options.dtype))
            tokenizer = AutoTokenizer.from_pretrained(folder, **source)
            load: Any = AutoModelForCausalLM.from_pretrained
            model, report = load(folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **source)
            model.to(self._device)
        except EngineError:
            raise
        except Exception as error:  # transformers raises whatever the model's own code does
            if "trust_remote_code" in str(error):
                raise DataError(
                    f"{folder}: the model needs Python code that comes with it. If you trust its authors, set "
                    "trust_remote_code: true"
                ) from error
            raise DataError(
                f"{folder}: the model cannot be loaded on {self._device} as a causal language model "
                f"({type(error).__name__}: {error}); check model and device"
            ) from error
        # transformers fills what the files lack with random numbers.
        if report["missing_keys"]:
            raise DataError(
                f"{folder}: {len(report['missing_keys'])} weights are missing, such as "
                f"{min(report['missing_keys'])}: give a model that was saved with its language head"
            )
        return tokenizer, model.eval()

    def _tokens(self, tokenizer: Any, prompt: str) -> Tensor:
        """int64 ``[1, n]`` on the device."""
        if tokenizer.chat_template is None:
            encoded = tokenizer(prompt, return_tensors="pt")
        else:
            turn = [{"role": "user", "content": prompt}]
            encoded = tokenizer.apply_chat_template(
                turn, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        ids: Tensor = encoded["input_ids"]
        return ids.to(self._device)

    def _require_room(self, prompt: Tensor, text: str, folder: Path) -> None:
        positions = model_folder.usable_positions(folder)
        needed = prompt.shape[1] + self._options.max_new_tokens
        if positions is not None and needed > positions:
            raise DataError(
                f"{folder}: {prompt.shape[1]} tokens of the prompt with {text[:80]!r} and "
                f"{self._options.max_new_tokens} new ones are more than the model's {positions} positions: lower "
                "max_new_tokens, shorten the prompt, or use another model"
            )

    def _continued(self, model: Any, tokenizer: Any, prompt: Tensor, text: str) -> Tensor:
        """The new tokens, int64 ``[m]``."""
        options = self._options
        chance = {"temperature": options.temperature, "top_p": options.top_p} if options.sample else {}
        end = tokenizer.eos_token_id
        # generate takes no generator, so the global ones are set and put back.
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.inference_mode():
            torch.manual_seed(_seed_of(self._seed, text))
            output: Tensor = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=options.sample,
                max_new_tokens=options.max_new_tokens,
                pad_token_id=end if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
                **chance,
            )
        return output[0, prompt.shape[1] :]


def _seed_of(seed: int, text: str) -> int:
    """So that a text is rephrased alike whatever stands before it."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{text}".encode()).digest()[:8], "big") >> 1
