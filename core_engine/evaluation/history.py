"""Whether a map makes use of what was said before: the same rows with and without their conversations' history."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from core_engine.evaluation.intervals import interval


def history_gain(
    whole: Mapping[str, Tensor], alone: Mapping[str, Tensor], rows: Tensor, group_ids: Tensor | None
) -> dict[str, dict[str, float | list[float]]]:
    """How much the history is worth, in each metric that is a mean over rows.

    ``whole`` and ``alone`` are what :func:`core_engine.evaluation.metrics.score_rows` gives of all n rows with their
    histories, and of the same rows with questions alone; ``rows``, int64 ``[h]``, those that have a history, which
    alone count. Taking the history away and seeing what it costs is the measure of Sankar et al., 2019, "Do Neural
    Dialog Systems Use the Conversation History Effectively?".

    Gives ``with`` and ``without`` (metric to mean), and ``gain``: metric to the mean of the rows' differences, with
    history less without, and the ends of its paired interval (:func:`core_engine.evaluation.intervals.interval`). A
    metric that none of these rows has is left out.
    """
    groups = None if group_ids is None else group_ids[rows]
    found: dict[str, dict[str, float | list[float]]] = {"with": {}, "without": {}, "gain": {}}
    for name in whole:
        having, lacking = whole[name][rows], alone[name][rows]
        gain = interval(having - lacking, groups)
        if gain is not None:
            found["with"][name] = float(having.nanmean())
            found["without"][name] = float(lacking.nanmean())
            found["gain"][name] = [gain.value, gain.low, gain.high]
    return found
