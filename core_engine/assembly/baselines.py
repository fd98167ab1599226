"""The rows that stand beside the core: maps that cost nothing to try, scored on the same held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import structlog
import torch
from attrs import frozen
from torch import Tensor

from core_engine.contracts.metrics import METRICS
from core_engine.contracts.objects import Loss, Sampler
from core_engine.data.noise import noise_std, with_noise
from core_engine.data.pairs import Pairs
from core_engine.data.prepare import Splits
from core_engine.evaluation.adapters import USUAL_BATCH, score, train_adapter
from core_engine.evaluation.baselines import BASELINES, why_left_out
from core_engine.evaluation.bodies import BODIES
from core_engine.evaluation.metrics import evaluate
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed
from core_engine.training.inference import apply_core
from core_engine.training.negatives import NegativeTable
from core_engine.training.rows import TrainingRows

log = structlog.get_logger("core_engine.evaluation")


@frozen
class BaselineRows:
    """``rows``: name -> metrics and ``parameters``. ``left_out``: name -> why it does not apply."""

    rows: dict[str, dict[str, float]]
    left_out: dict[str, str]


def score_baselines(
    names: Sequence[str],
    data: Splits,
    mode: Autoencoder | Dialogue | Mixed,
    *,
    loss: Loss,
    monitor: str,
    seed: int,
    batch_size: int,
    should_stop: Callable[[], bool],
    sampler: Sampler | None = None,
    table: NegativeTable | None = None,
) -> BaselineRows | None:
    """Fits each on the training split, chooses by the validation split, scores on the test split. None if
    it was asked to stop before the last one.

    The adapters are trained with the run's own loss, ``sampler`` and negatives (``table``), in batches of the usual
    size and in batches of the run's ``batch_size``, of which validation chooses: where rows of a batch are one
    another's wrong answers, the size is a part of the objective.
    A denoising autoencoder's baselines are fitted to noisy inputs, adapters with noise drawn anew for every batch.
    """
    train, validation, test, corpus = data.train, data.validation, data.test, data.corpus
    std = noise_std(train.inputs, mode.noise) if isinstance(mode, Autoencoder) else 0.0
    noisy = with_noise(train, std, seed, "baselines")
    arrange = None if sampler is None else TrainingRows(train, len(train), seed, sampler=sampler).order
    metric = monitor if monitor in METRICS else "mrr@10"
    rows: dict[str, dict[str, float]] = {}
    left_out: dict[str, str] = {}
    for name in names:
        if should_stop():
            return None
        reason = why_left_out(name, train)
        if reason:
            left_out[name] = reason
            continue
        log.info("fitting baseline", name=name)
        fitted: Callable[[Tensor], Tensor]
        if name in BODIES:
            tried = [
                train_adapter(
                    name,
                    train,
                    validation,
                    loss=loss,
                    metric=metric,
                    seed=seed,
                    arrange=arrange,
                    negatives=None if table is None else table.of,
                    noise=std,
                    batch_size=size,
                )
                for size in sorted({min(size, len(train)) for size in (batch_size, USUAL_BATCH)})
            ]
            adapter = max(tried, key=partial(score, validation=validation, metric=metric))
            fitted, parameters = partial(apply_core, adapter), _count(adapter)
        else:
            fitted, parameters = BASELINES[name](noisy, validation, metric), _CLOSED_FORM[name](train)
        with torch.no_grad():
            rows[name] = {**evaluate(fitted(test.inputs), test, corpus), "parameters": parameters}
    return BaselineRows(rows, left_out)


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


_CLOSED_FORM: dict[str, Callable[[Pairs], int]] = {
    "identity": lambda train: 0,
    "mean_shift": lambda train: 0,
    "ridge": lambda train: train.inputs.shape[1] * train.targets.shape[1],
    "procrustes": lambda train: train.inputs.shape[1] * train.targets.shape[1],
}
