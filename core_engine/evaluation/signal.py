"""What goes on inside a trained core's lattice: how far signals get, how large states are, and which cells count."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor

from core_engine.core.cell_kernel import CellKernel
from core_engine.core.processor import EmbeddingProcessor
from core_engine.core.reach import Reach

#: Rows studied, evenly spread over those given.
ROWS = 256
#: Floats that the states and intermediate results of a block of rows may take; a step makes about ``_PER_VALUE`` for
#: each value of the state.
_VALUES, _PER_VALUE = 2**24, 32
#: Rows times cells that are ablated.
_ABLATIONS = 2**16
#: What differs by no more than this share of the usual size is rounding.
_ROUNDING = 1e-6


@frozen(eq=False)
class Signal:
    """Figures of ``rows`` rows and steps t = 0 to T, where 0 is what the reshape puts in, all on the CPU.

    With s_t the state of a row after t steps, y its output and v its target:

    - ``state_rms``, float64 ``[T + 1]``: root mean square of all values of s_t, over rows, cells and channels.
    - ``dead``, float64 ``[T + 1]``: share of cells none of whose channels differs between rows, beyond rounding. Such
      a cell carries nothing of the input. (Noise of the cells counts as a difference.)
    - ``gradient``, float64 ``[T + 1]``: mean over rows of the length of d cos(y, v) / d s_t, through the later states
      alone, the drive held still: how much the steps from t on still change the result. Where it shrinks by orders of
      magnitude towards t = 0, early states are not learned from (Pascanu, Mikolov and Bengio, 2013, "On the difficulty
      of training recurrent neural networks"). None for a kernel that is no CellKernel, whose steps cannot be told
      apart.
    - ``reach``: what t steps connect, see :class:`core_engine.core.reach.Reach`.
    - ``cell_rms``, float64 ``[X, Y, Z]``: root mean square of each cell's values after the last step.
    - ``importance``, float64 ``[X, Y, Z]``: by how much the mean cos(y, v) falls where a cell's last state is replaced
      by its mean over rows (mean ablation; Wang, Variengien, Conmy, Shlegeris and Steinhardt, 2022, "Interpretability
      in the Wild"), over ``ablated_rows`` of the rows. Below 0 where the cell does harm; 0 for a cell that is not read.
    - ``output_spread``: root mean square over rows of |y - mean(y)|, as a share of that of |y|.
    """

    rows: int
    state_rms: Tensor
    dead: Tensor
    gradient: Tensor | None
    reach: list[Reach]
    cell_rms: Tensor
    importance: Tensor
    ablated_rows: int
    output_spread: float

    @property
    def output_is_constant(self) -> bool:
        """Whether the output is the same for all rows, up to rounding."""
        return self.output_spread <= _ROUNDING


def study_signal(core: EmbeddingProcessor, inputs: Tensor, targets: Tensor, seed: int = 0) -> Signal:
    """The signal of a core on inputs ``[n, D_in]`` and targets ``[n, D_out]``, n at least 2, on the core's device.

    ``seed``: of the cells' noise, of which row i draws sample i's. A CellKernel is followed by its reference rollout,
    whatever backend it has. Bounded: at most ``ROWS`` rows, in blocks. The core is left as it was.
    """
    was_training = core.training
    core.eval()
    ids = _spread(len(inputs), ROWS).to(inputs.device)
    tally = _Tally(core)
    for some in ids.split(_block(core)):
        tally.add(*_followed(core, inputs[some], targets[some], seed, some))
    last_mean = tally.last_sum / len(ids)
    ablated = ids[_spread(len(ids), max(8, _ABLATIONS // math.prod(core.size))).to(ids.device)]
    importance = _importance(core, inputs[ablated], targets[ablated], last_mean.float(), seed, ablated)
    core.train(was_training)
    state_rms = (tally.squares / (len(ids) * tally.last_sum.numel())).sqrt()
    varies = (tally.highest - tally.lowest).amax(-1) > _ROUNDING * state_rms.reshape(-1, 1, 1, 1)
    outputs = torch.cat(tally.outputs)
    size = outputs.square().sum(-1).mean().sqrt()
    spread = (outputs - outputs.mean(0)).square().sum(-1).mean().sqrt()
    return Signal(
        rows=len(ids),
        state_rms=state_rms.cpu(),
        dead=1 - varies.double().flatten(1).mean(1).cpu(),
        gradient=None if tally.gradient is None else (tally.gradient / len(ids)).cpu(),
        reach=[core.reach(step) for step in range(core.steps + 1)],
        cell_rms=(tally.last_squares / (len(ids) * core.channels)).sqrt().cpu(),
        importance=importance.cpu(),
        ablated_rows=len(ablated),
        output_spread=float(spread / size) if size > 0 else 0.0,
    )


class _Tally:
    """Sums over rows, so that states need not be kept."""

    def __init__(self, core: EmbeddingProcessor) -> None:
        like = core.normalizer.input_mean
        steps, shape = core.steps + 1, (*core.size, core.channels)
        self.squares = like.new_zeros(steps, dtype=torch.float64)
        self.gradient: Tensor | None = like.new_zeros(steps, dtype=torch.float64)
        self.lowest = like.new_full((steps, *shape), math.inf)
        self.highest = like.new_full((steps, *shape), -math.inf)
        self.last_sum = like.new_zeros(shape, dtype=torch.float64)
        self.last_squares = like.new_zeros(core.size, dtype=torch.float64)
        self.outputs: list[Tensor] = []

    def add(self, states: list[Tensor], gradients: list[Tensor] | None, output: Tensor) -> None:
        """States and gradients ``[B, X, Y, Z, C]`` by step, and output ``[B, D_out]``."""
        for step, state in enumerate(states):
            self.squares[step] += state.double().square().sum()
            self.lowest[step] = torch.minimum(self.lowest[step], state.amin(0))
            self.highest[step] = torch.maximum(self.highest[step], state.amax(0))
        last = states[-1].double()
        self.last_sum += last.sum(0)
        self.last_squares += last.square().sum((0, -1))
        self.outputs.append(output.double())
        if gradients is None or self.gradient is None:
            self.gradient = None
        else:
            self.gradient += torch.stack([rows.double().flatten(1).norm(dim=1).sum() for rows in gradients])


def _followed(
    core: EmbeddingProcessor, inputs: Tensor, targets: Tensor, seed: int, ids: Tensor
) -> tuple[list[Tensor], list[Tensor] | None, Tensor]:
    """States and gradients by step, and the output."""
    kernel = core.kernel
    if not isinstance(kernel, CellKernel):
        with torch.no_grad():
            states = [core.state_after(inputs, step, seed, ids) for step in range(core.steps + 1)]
            return states, None, core.output_of(states[-1], inputs)
    with torch.enable_grad():
        states = [core.state_after(inputs, 0, seed, ids).detach().requires_grad_()]
        drive = states[0].detach()[..., : core.reshape.channels]
        for step in range(core.steps):
            states.append(kernel.advance(states[-1], drive, step, 1, seed, ids))
        output = core.output_of(states[-1], inputs)
        closeness = F.cosine_similarity(output, targets.to(output.dtype), dim=-1).sum()
        gradients = torch.autograd.grad(closeness, states)
    return [state.detach() for state in states], list(gradients), output.detach()


@torch.no_grad()
def _importance(
    core: EmbeddingProcessor, inputs: Tensor, targets: Tensor, mean: Tensor, seed: int, ids: Tensor
) -> Tensor:
    """``mean``: the last state's mean over rows, ``[X, Y, Z, C]``."""
    numbers = torch.arange(len(ids), device=ids.device)
    state = torch.cat(
        [core.state_after(inputs[some], core.steps, seed, ids[some]) for some in numbers.split(_block(core))]
    )

    def closeness() -> Tensor:
        output = core.output_of(state, inputs).double()
        return F.cosine_similarity(output, targets.double(), dim=-1).mean()

    whole = closeness()
    cells = state.flatten(1, 3)  # a view: what is set in it is set in the state
    means = mean.flatten(0, 2).to(state.dtype)
    without = []
    for cell in range(cells.shape[1]):
        kept = cells[:, cell].clone()
        cells[:, cell] = means[cell]
        without.append(closeness())
        cells[:, cell] = kept
    return (whole - torch.stack(without)).reshape(core.size)


def _spread(count: int, most: int) -> Tensor:
    """At most ``most`` of the numbers below ``count``, evenly spread and in order: int64."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long()


def _block(core: EmbeddingProcessor) -> int:
    """Rows that are followed at a time."""
    return max(1, _VALUES // (math.prod(core.size) * core.channels * core.steps * _PER_VALUE))
