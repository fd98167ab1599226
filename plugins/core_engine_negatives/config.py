"""The options of each way to choose wrong targets."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import and_, ge, lt

from core_engine import Negatives, NegativesContext


@frozen
class Random:
    """Targets drawn uniformly from all distinct training targets."""

    #: Wrong targets for each row.
    count: int = field(default=4, validator=ge(1))
    #: Epochs until they are drawn anew.
    refresh_every: int = field(default=1, validator=ge(1))

    def build(self, context: NegativesContext) -> Negatives:
        from core_engine_negatives.random import RandomNegatives

        return RandomNegatives(self.count, self.refresh_every)


@frozen
class Hard:
    """Wrong targets that lie near where the map takes the row, but not so near that they may be right."""

    #: Wrong targets for each row; fewer where fewer pass.
    count: int = field(default=4, validator=ge(1))
    #: How many of the nearest targets are looked at.
    candidates: int = field(default=64, validator=ge(1))
    #: A candidate passes where its cosine is below (1 - relative_margin) times that of the right target.
    relative_margin: float = field(default=0.05, validator=and_(ge(0), lt(1)))
    #: Which of the candidates that pass: the nearest, or any.
    choose: Literal["top", "random"] = "top"
    #: Epochs until they are mined anew, with the core as it is then.
    refresh_every: int = field(default=1, validator=ge(1))

    def __attrs_post_init__(self) -> None:
        if self.candidates < self.count:
            raise ValueError(f"count {self.count} is more than the {self.candidates} candidates; raise candidates")

    def build(self, context: NegativesContext) -> Negatives:
        from core_engine_negatives.hard import HardNegatives

        return HardNegatives(self.count, self.candidates, self.relative_margin, self.refresh_every, self.choose)
