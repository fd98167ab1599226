"""The core: embedding in, lattice, embedding out. The only thing that is trained."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core_engine.contracts.objects import Kernel, Reshape
from core_engine.core.normalizer import Normalizer
from core_engine.core.reach import Reach, reach
from core_engine.core.shortcut import Shortcut
from core_engine.errors import DataError, EngineError
from core_engine.memory.tables import mapped


class EmbeddingProcessor(nn.Module):
    """Maps ``[B, D_in]`` to ``[B, D_out]``, both in the teacher's own space, through a lattice of X x Y x Z cells::

        z      = (x - input_mean) / input_scale
        drive  = reshape.to_lattice(z)                      [B, X, Y, Z, E]
        state  = drive in the first E channels, 0 in the others       [B, X, Y, Z, C]
        state  = kernel(state, drive, steps, seed, sample_ids)
        out    = reshape.from_lattice(state[..., :E])
               or, with a shortcut,  reshape.from_lattice(state[..., :E] - drive) + shortcut(z)
        y      = out * target_scale + target_mean

    With a kernel that leaves the state as it is and a reshape that is exact, this is the mean shift. A ``shortcut`` is
    there if asked for: then the embedding passes beside the lattice, and what is read from the lattice is what its
    steps have changed.

    Parts: ``normalizer``, ``reshape``, ``kernel``, ``shortcut``. ``size`` is X, Y, Z; ``channels`` is C; ``steps`` is
    T. Parameters, state and result have one dtype (``.double()`` makes it float64); under autocast the state stays in
    it while the products are computed in lower precision.
    """

    reshape: Reshape
    kernel: nn.Module
    normalizer: Normalizer
    shortcut: Shortcut | None

    def __init__(
        self,
        *,
        reshape: Reshape,
        kernel: Kernel,
        input_dim: int,
        output_dim: int,
        size: tuple[int, int, int],
        channels: int,
        steps: int,
        centre: bool = True,
        shortcut: Shortcut | None = None,
    ) -> None:
        """EngineError where a part is no module, the reshape has more channels than the lattice, or ``steps`` is 0."""
        super().__init__()
        for name, part in (("reshape", reshape), ("kernel", kernel)):
            if not isinstance(part, nn.Module):
                raise EngineError(f"the {name} must be an nn.Module, not {type(part).__name__}: else it is not trained")
        if reshape.channels > channels:
            raise EngineError(
                f"the reshape carries values in {reshape.channels} channels, and the lattice has {channels}; "
                f"give the lattice more channels or more cells"
            )
        if steps < 1:
            raise EngineError(f"a lattice needs at least one step, not {steps}")
        self.reshape = reshape
        self.kernel = cast(nn.Module, kernel)
        self.shortcut = shortcut
        self.normalizer = Normalizer(input_dim, output_dim)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.size = size
        self.channels = channels
        self.steps = steps
        self.centre = centre

    @torch.no_grad()
    def fit(self, inputs: Tensor, targets: Tensor) -> None:
        """Before training, with the training split ``[n, D_in]`` and ``[n, D_out]``: the normalizer, then the reshape
        and the shortcut.

        DataError where the data cannot be fitted to, see :meth:`Normalizer.fit`.
        """
        self.normalizer.fit(inputs, targets, centre=self.centre)
        normalizer = self.normalizer
        normal_inputs = mapped(normalizer.normalise_input, inputs, normalizer.input_mean)
        normal_targets = mapped(normalizer.normalise_target, targets, normalizer.target_mean)
        self.reshape.fit(normal_inputs, normal_targets)
        if self.shortcut is not None:
            self.shortcut.fit(normal_inputs, normal_targets)

    def forward(self, embedding: Tensor, seed: int = 0, sample_ids: Tensor | None = None) -> Tensor:
        """``[B, D_in] -> [B, D_out]``.

        ``seed`` and ``sample_ids`` (int64 ``[B]``, default 0 to B - 1) key what is random in the kernel. DataError
        where the embeddings have another shape; EngineError where the kernel's result has.
        """
        return self.output_of(self.state_after(embedding, self.steps, seed, sample_ids), embedding)

    def output_of(self, state: Tensor, embedding: Tensor) -> Tensor:
        """What is read from the last state ``[B, X, Y, Z, C]``, with what the shortcut adds: ``[B, D_out]``."""
        values = state[..., : self.reshape.channels]
        if self.shortcut is None:
            output = self.reshape.from_lattice(values)
        else:
            z = self.normalizer.normalise_input(embedding)
            output = self.reshape.from_lattice(values - self.reshape.to_lattice(z)) + self.shortcut(z)
        return self.normalizer.denormalise_output(output)

    def state_after(self, embedding: Tensor, steps: int, seed: int = 0, sample_ids: Tensor | None = None) -> Tensor:
        """``[B, D_in] -> [B, X, Y, Z, C]``: the lattice after ``steps`` steps, 0 being what the reshape puts in.

        Arguments and errors as in :meth:`forward`.
        """
        if embedding.dim() != 2 or embedding.shape[1] != self.input_dim:
            raise DataError(f"embeddings are {list(embedding.shape)}; this core takes [B, {self.input_dim}]")
        if sample_ids is None:
            sample_ids = torch.arange(len(embedding), device=embedding.device)
        z = self.normalizer.normalise_input(embedding)
        drive = self.reshape.to_lattice(z).to(z.dtype)
        state = F.pad(drive, (0, self.channels - self.reshape.channels))
        if not steps:
            return state
        result: Tensor = self.kernel(state, drive, steps, seed, sample_ids)
        if result.shape != state.shape:
            raise EngineError(
                f"kernel {type(self.kernel).__name__} returned {list(result.shape)} for a state {list(state.shape)} "
                f"[B, X, Y, Z, C]; it must return a state of the same shape"
            )
        return result

    def reach(self, steps: int | None = None) -> Reach:
        """What ``steps`` steps (all, if None) connect if cells hear of ``kernel.neighbours`` cells around them (6 where
        the kernel does not say), round the lattice where ``kernel.periodic``.
        """
        periodic = bool(getattr(self.kernel, "periodic", False))
        neighbours = int(getattr(self.kernel, "neighbours", 6))
        taken = self.steps if steps is None else steps
        return reach(self.reshape.input_cells, self.reshape.output_cells, taken, periodic, neighbours)
