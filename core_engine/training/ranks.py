"""Several processes that train one core: each computes its share of every batch's rows.

The run on N processes is the run on one, only faster: outputs are gathered, with their gradients, before the loss, so
that each process computes the loss of the whole batch (in-batch negatives, memory and all), and the parameters'
gradients are summed. Everything else, such as the order of rows, negatives and stopping, every process finds by itself
from the same figures; the first one alone writes.

(Not DistributedDataParallel: it averages the gradients of losses that each see a part of the batch.)
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from attrs import frozen
from torch import Tensor, nn

from core_engine.errors import TrainingError

#: How long one process may wait for another: the first writes checkpoints, and all may encode texts before they meet.
_PATIENCE = timedelta(minutes=30)


@frozen
class Ranks:
    """This process is number ``rank`` of ``size``. The methods that talk to the others must be called by all."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def own(self, count: int) -> slice:
        """Which of ``count`` rows are this process's: shares of one size, the last ones smaller or empty."""
        share = math.ceil(count / self.size)
        return slice(min(count, self.rank * share), min(count, (self.rank + 1) * share))

    def computed(self, count: int) -> slice:
        """The rows to compute: this process's own, or the first one where it has none, for the others to wait for."""
        own = self.own(count)
        return own if own.start < own.stop else slice(0, 1)

    def gather(self, rows: Tensor, count: int) -> Tensor:
        """``[count, D]``, from the rows that each process has computed; the gradient flows back to these."""
        if self.size == 1:
            return rows
        gathered: Tensor = _Gather.apply(rows, count, self)  # type: ignore[no-untyped-call]
        return gathered

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Adds up what each process's rows have given the parameters."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for dtype in {gradient.dtype for gradient in gradients}:
            some = [gradient for gradient in gradients if gradient.dtype == dtype]
            flat = torch.cat([gradient.flatten() for gradient in some])
            with self._speaking():
                dist.all_reduce(flat)
            for gradient, summed in zip(some, flat.split([g.numel() for g in some]), strict=True):
                gradient.copy_(summed.view_as(gradient))

    def any(self, here: bool) -> bool:
        """Whether it is so in any process."""
        if self.size == 1:
            return here
        flag = torch.tensor(int(here))
        with self._speaking():
            dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def from_first(self, value: Any) -> Any:
        """What the first process has, in all of them."""
        if self.size == 1:
            return value
        box = [value]
        with self._speaking():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def require_same(self, values: Tensor, what: str) -> None:
        """TrainingError where another process has something else than the first, bit for bit."""
        if self.size == 1:
            return
        first = values.detach().clone()
        with self._speaking():
            dist.broadcast(first, src=0)
        if self.any(not torch.equal(first.nan_to_num(), values.nan_to_num())):
            raise TrainingError(
                f"process {self.rank}: {what} is not the same in all {self.size} processes; they must run on equal "
                f"hardware with equal versions"
            )

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise TrainingError(
                f"process {self.rank}: another of the {self.size} processes has ended, or cannot be reached "
                f"({str(error).splitlines()[0]}); go on from the last checkpoint with --resume"
            ) from error


class _Gather(torch.autograd.Function):
    """Every process computes the same loss of all rows, so a row's gradient is complete where it was computed."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, count: int, ranks: Ranks) -> Tensor:
        ctx.own, ctx.given = ranks.own(count), len(rows)
        share = math.ceil(count / ranks.size)
        mine = rows.new_zeros(share, *rows.shape[1:])
        mine[: ctx.given] = rows
        gathered = [torch.empty_like(mine) for _ in range(ranks.size)]
        with ranks._speaking():
            dist.all_gather(gathered, mine)
        # Shares but the last ones are whole, so that what is beyond ``count`` is no process's own.
        return torch.cat(gathered)[:count]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        mine = gradient[ctx.own]
        if not len(mine):
            mine = gradient.new_zeros(ctx.given, *gradient.shape[1:])
        return mine, None, None


def current_ranks() -> Ranks:
    """The processes of the group that is there; this one alone where there is none."""
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    return Ranks()


@contextmanager
def launched_ranks() -> Iterator[Ranks]:
    """The processes that ``torchrun`` has started, as a group while it is open. A group that is there stays.

    TrainingError where torchrun would start them again and they could not find each other.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield current_ranks()
        return
    restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0"))
    if restarts and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        # In it they would find the addresses of the processes that have ended, and wait for these:
        # https://github.com/pytorch/pytorch/issues/135712
        raise TrainingError(
            "torchrun --max-restarts: processes that are started again would wait for those that have ended; "
            "start torchrun with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment"
        )
    # Decisions are about numbers on the CPU, gradients about numbers on the device.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield current_ranks()
    finally:
        dist.destroy_process_group()
