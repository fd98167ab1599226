"""The rephraser ``rules``: English questions by fixed rules, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from attrs import frozen

from core_engine import RephraserContext
from core_engine_rephrasers.rules.rewrite import wordings


@frozen
class Rules:
    """English questions, put in other words by fixed rules: needs no model, and gives the same for the same seed."""

    def build(self, context: RephraserContext) -> RuleRephraser:
        return RuleRephraser(context.seed)


@frozen
class RuleRephraser:
    seed: int

    def rephrase(self, texts: Sequence[str], count: int) -> list[list[str]]:
        """Up to ``count`` wordings of each text, whose last question alone is changed; none where no rule fits."""
        return [wordings(text, Random(f"{self.seed}\n{text}"))[:count] for text in texts]  # noqa: S311
