"""How much memory training takes, found out without taking it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from core_engine.core.cell_kernel import CellKernel
from core_engine.core.processor import EmbeddingProcessor
from core_engine.errors import TrainingError
from core_engine.memory.free import free_memory
from core_engine.recipe.training import SGD, Train

#: Floats of the lattices that are traced at once; more rows are told from these.
_TRACED_VALUES = 2**22


@frozen
class MemoryPlan:
    """Bytes, for ``rows`` rows in one pass.

    ``weights``: parameters and buffers, those of the average too. ``gradients``, ``optimizer``: of what is trained.
    ``activations``: the most that a forward and backward pass through the core holds at once beside these; None where
    that is not known, for this ``reason``.
    """

    rows: int
    weights: int
    gradients: int
    optimizer: int
    activations: int | None
    reason: str | None = None

    @property
    def total(self) -> int:
        """Of what is known."""
        return self.weights + self.gradients + self.optimizer + (self.activations or 0)

    def __str__(self) -> str:
        parts = [("weights", self.weights), ("gradients", self.gradients), ("optimiser", self.optimizer)]
        text = ", ".join(f"{name} {in_words(size)}" for name, size in parts)
        if self.activations is None:
            return f"{text}; activations not known ({self.reason})"
        return f"{text}, activations {in_words(self.activations)} for {self.rows} rows at once"


def in_words(size: float) -> str:
    """Bytes in decimal units, as ``train.memory_budget`` is written."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def require_room(plan: MemoryPlan, core: nn.Module, options: Train) -> None:
    """TrainingError, with what to do, where the plan is beyond ``train.memory_budget``, or beyond what is free on the
    core's device where there is no budget.
    """
    if options.memory_budget is not None:
        needed, room = plan.total, options.memory_budget_bytes
        whose = "train.memory_budget is"
    else:
        # The core itself is there already.
        needed = plan.total - sum(_bytes(tensor) for tensor in (*core.parameters(), *core.buffers()))
        device = next((tensor.device for tensor in core.parameters()), torch.device("cpu"))
        room, whose = free_memory(device), f"what is free on {device} is"
    if needed <= room:
        return
    kernel = getattr(core, "kernel", None)
    remedies = []
    if isinstance(kernel, CellKernel) and kernel.memory is None and kernel.backend is None:
        remedies.append("set lattice.memory: states")
    if plan.rows > 1:
        remedies.append(f"raise train.accumulate (now {options.accumulate}) or lower train.batch_size")
    remedies.append("take a smaller lattice")
    raise TrainingError(
        f"training takes {in_words(needed)} of memory, and {whose} {in_words(room)}: {plan}; {', or '.join(remedies)}"
    )


def plan_memory(core: nn.Module, dim: int, options: Train, processes: int = 1) -> MemoryPlan:
    """Of a core for embeddings ``[B, dim]``, on its device, with the backend and memory policy it has, in each of so
    many processes that share a batch.

    The passes are traced with tensors that have shapes and no contents. A kernel that cannot be traced so is no error:
    its activations are not known.
    """
    rows = math.ceil(options.batch_size // options.accumulate / processes)
    weights = sum(_bytes(tensor) for tensor in (*core.parameters(), *core.buffers()))
    gradients = sum(_bytes(parameter) for parameter in core.parameters() if parameter.requires_grad)
    moments = (1 if options.optimizer.momentum else 0) if isinstance(options.optimizer, SGD) else 2
    activations, reason = None, None
    try:
        traced = min(rows, _traced_rows(core))
        with _training(core):
            kept, most = _trace(core, traced, dim, options.precision)
        activations = math.ceil(max(kept, most - gradients) * rows / traced)
    except Exception as error:  # somebody else's kernel may do anything with tensors that hold nothing
        reason = (str(error) or type(error).__name__).splitlines()[0]
    return MemoryPlan(
        rows=rows,
        weights=weights * (2 if options.ema is not None else 1),
        gradients=gradients,
        optimizer=moments * gradients,
        activations=activations,
        reason=reason,
    )


def _traced_rows(core: nn.Module) -> int:
    """What is kept grows with the rows, and so does the time to trace it where a kernel takes them in blocks."""
    values = math.prod(core.size) * core.channels if isinstance(core, EmbeddingProcessor) else 2**16
    return max(1, _TRACED_VALUES // values)


def _trace(core: nn.Module, rows: int, dim: int, precision: str) -> tuple[int, int]:
    """Bytes alive after the forward pass, and the most at any time; weights left out, gradients included."""
    some = next(core.parameters())
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, _Alive() as alive:
        tensors: dict[str, Tensor] = {
            name: fake.from_tensor(t) for name, t in (*core.named_parameters(), *core.named_buffers())
        }
        inputs = torch.empty(rows, dim, device=some.device, dtype=some.dtype)
        given: tuple[Any, ...] = (inputs,)
        if isinstance(core, EmbeddingProcessor):
            given = (inputs, 0, torch.empty(rows, device=some.device, dtype=torch.int64))
        alive.begin()
        lower = precision != "float32"
        dtype = getattr(torch, precision)
        with torch.autocast(some.device.type, dtype) if lower else nullcontext():
            output: Tensor = functional_call(core, tensors, given)
        kept = alive.now
        output.float().sum().backward()
        return kept, alive.most


class _Alive(TorchDispatchMode):
    """Counts the bytes of storages that operators have made and that are still there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.begin()

    def begin(self) -> None:
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                if id(storage) not in given and id(storage) not in self._known:
                    self._note(storage)
        self.most = max(self.most, self.now)
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        number, size = id(storage), storage.nbytes()
        self._known.add(number)
        self.now += size

        def gone() -> None:
            if number in self._known:
                self._known.discard(number)
                self.now -= size

        weakref.finalize(storage, gone)


@contextmanager
def _training(core: nn.Module) -> Iterator[None]:
    """Cells may compute more in training than otherwise."""
    was = core.training
    core.train()
    try:
        yield
    finally:
        core.train(was)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
