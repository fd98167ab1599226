"""What depends on the device: batch size, threads, memory, and which precisions are fast."""

from __future__ import annotations

import gc

import torch

from core_engine_teachers.options import EncoderOptions

CPU_BATCH_TOKENS = 1024
BATCH_TOKENS = 65536
#: More threads than this gain nothing on a CPU.
MAX_WORKERS = 4


def computes_on_cpu(device: str, options: EncoderOptions) -> bool:
    """Whether all of the model is on the CPU."""
    return torch.device(device).type == "cpu" and not (options.device_map and torch.cuda.is_available())


def batch_tokens(options: EncoderOptions, on_cpu: bool) -> int:
    """Padded tokens per batch."""
    if options.batch_tokens is not None:
        return options.batch_tokens
    return CPU_BATCH_TOKENS if on_cpu else BATCH_TOKENS


def workers(options: EncoderOptions, on_cpu: bool) -> int:
    """Threads that compute batches. A device has one queue, and the hooks of a device map are not thread-safe."""
    return min(MAX_WORKERS, torch.get_num_threads()) if on_cpu and options.device_map is None else 1


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; True where this version of torch cannot tell."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return True
    known = torch.cpu.get_capabilities()
    return any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was short, on an accelerator or the CPU."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):  # of every accelerator, despite its name
        return True
    words = str(error)
    return isinstance(error, RuntimeError) and (
        ("DefaultCPUAllocator" in words and "memory" in words) or "MPS backend out of memory" in words
    )


def free_memory() -> None:
    """Give what nobody holds any more back to the device."""
    gc.collect()
    accelerator = torch.get_device_module()
    if hasattr(accelerator, "empty_cache"):  # the CPU keeps nothing back
        accelerator.empty_cache()
