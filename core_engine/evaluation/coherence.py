"""Whether an answer belongs to its question, by the teacher's own measure."""

from __future__ import annotations

from torch import Tensor

from core_engine.data.pairs import Pairs
from core_engine.evaluation.metrics import cosine_of_unrelated
from core_engine.evaluation.retrieval import unit_rows


def coherence(output: Tensor, pairs: Pairs) -> dict[str, float]:
    """Of ``output`` ``[n, D]``, with q_i the embedding of row i's question and whatever history stands before it:

    - ``question_cosine``: mean of ô_i · q̂_i: the coherence of an answer with its context (Xu, Dušek, Konstas and
      Rieser, 2018, "Better Conversations by Modeling, Filtering, and Optimizing for Coherence and Diversity").
    - ``question_gap``: the same less the mean of ô_i · q̂_j over all pairs of rows with different target texts, so that
      what any answer has in common with any question does not count.

    Higher is not better: give ``pairs.targets`` for what the true answers have, and compare. Computed in float64.
    ValueError where inputs and outputs are not of one dimension, since questions and answers then share no space.
    """
    if output.shape != pairs.inputs.shape:
        raise ValueError(
            f"output must have the shape of the inputs, {list(pairs.inputs.shape)}, not {list(output.shape)}"
        )
    outputs, questions = unit_rows(output), unit_rows(pairs.inputs)
    own = (outputs * questions).sum(-1).mean()
    shuffled = cosine_of_unrelated(outputs, questions, pairs.target_ids)
    return {"question_cosine": float(own), "question_gap": float(own - shuffled)}
