"""What stands beside a finished run's core and took no training."""

from __future__ import annotations

from torch import Tensor

from core_engine.assembly.build import build_core
from core_engine.assembly.held_out import HeldOut
from core_engine.core.processor import EmbeddingProcessor
from core_engine.data.pairs import Pairs
from core_engine.training.inference import apply_core


def unfitted_baselines(core: EmbeddingProcessor, pairs: Pairs) -> dict[str, Tensor]:
    """What the maps that need no fitting make of the inputs, by name: identity and mean shift, ``[n, D]`` each. None
    of them where input and target have different dimensions.
    """
    if pairs.inputs.shape[1] != pairs.targets.shape[1]:
        return {}
    means = core.normalizer.input_mean, core.normalizer.target_mean
    input_mean, target_mean = (mean.to(pairs.inputs.device) for mean in means)
    return {"identity": pairs.inputs, "mean_shift": pairs.inputs - input_mean + target_mean}


def untrained_output(held_out: HeldOut) -> Tensor:
    """``[n, D_out]``: what the run's core gives before training, where nothing that the run fits to its training rows
    is trained as well (as the axes of a learned ``principal`` projection are), and where it started from no other run.
    Elsewhere of another core: see that the figures are those of the run.
    """
    core = held_out.core
    untrained = build_core(held_out.recipe, core.input_dim, core.output_dim).to(held_out.pairs.inputs.device).eval()
    untrained.load_state_dict(dict(core.named_buffers()), strict=False)
    return apply_core(untrained, held_out.pairs.inputs)
