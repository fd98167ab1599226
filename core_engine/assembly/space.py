"""The space of a core's outputs, beside that of the teacher's own answers."""

from __future__ import annotations

from core_engine.assembly.held_out import HeldOut
from core_engine.evaluation.coherence import coherence
from core_engine.evaluation.health import health
from core_engine.evaluation.preservation import preservation
from core_engine.recipe.modes import Autoencoder


def score_space(held_out: HeldOut) -> dict[str, dict[str, float]]:
    """For the ``core`` and for the ``teacher``, whose output is the targets: what
    :mod:`core_engine.evaluation.health`, :mod:`core_engine.evaluation.preservation` (the core alone) and
    :mod:`core_engine.evaluation.coherence` (pairs of one dimension) give.
    """
    output, pairs = held_out.output, held_out.pairs
    core = {**health(output, pairs), **preservation(output, pairs)}
    teacher = health(pairs.targets, pairs)
    # In an autoencoder the question is the answer.
    if not isinstance(held_out.recipe.mode, Autoencoder) and pairs.inputs.shape == pairs.targets.shape:
        core |= coherence(output, pairs)
        teacher |= coherence(pairs.targets, pairs)
    return {"core": core, "teacher": teacher}
