"""The options of each sampler. How they work stands in the modules that ``build`` imports."""

from __future__ import annotations

from attrs import Factory, frozen

from core_engine import Pacing, Sampler, SamplerContext


@frozen
class Shuffle:
    """Each row once, in random order: what a run without a sampler does."""

    def build(self, context: SamplerContext) -> Sampler:
        from core_engine_samplers.shuffle import ShuffleSampler

        return ShuffleSampler()


@frozen
class Grouped:
    """Each row once, the rows of a group together: in a batch, wrong answers are of the row's own topic."""

    def build(self, context: SamplerContext) -> Sampler:
        from core_engine_samplers.grouped import GroupedSampler

        return GroupedSampler()


@frozen
class Curriculum:
    """Easy rows first: an epoch draws from the easiest share of the rows, which grows by ``pacing``."""

    pacing: Pacing = Factory(Pacing)

    def build(self, context: SamplerContext) -> Sampler:
        from core_engine_samplers.curriculum import CurriculumSampler

        return CurriculumSampler(self.pacing)


@frozen
class Competence:
    """Easy rows first, batch by batch (Platanios et al., 2019): each batch draws from those the core is ready for."""

    pacing: Pacing = Factory(lambda: Pacing("root"))

    def build(self, context: SamplerContext) -> Sampler:
        from core_engine_samplers.competence import CompetenceSampler

        return CompetenceSampler(self.pacing)
