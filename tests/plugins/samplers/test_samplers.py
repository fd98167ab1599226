from __future__ import annotations

import itertools

import pytest
import torch
from core_engine_samplers import samplers
from core_engine_samplers.config import Competence, Curriculum, Grouped, Shuffle
from core_engine_samplers.draw import draw
from hypothesis import given
from hypothesis import strategies as st

from core_engine import Epoch, Pacing, Sampler, SamplerContext
from core_engine.errors import TrainingError


def epoch(
    rows: int,
    *,
    seed: int = 0,
    begin: float = 0.0,
    end: float = 0.1,
    batch_size: int = 32,
    groups: torch.Tensor | None = None,
    difficulty: torch.Tensor | None = None,
) -> Epoch:
    return Epoch(rows, batch_size, begin, end, groups, difficulty, torch.Generator().manual_seed(seed))


def ranks(rows: int, seed: int = 1) -> torch.Tensor:
    """Difficulties that are all different, in random order."""
    return (torch.randperm(rows, generator=torch.Generator().manual_seed(seed)) + 1) / rows


def built(config: Shuffle | Grouped | Curriculum | Competence) -> Sampler:
    return config.build(SamplerContext())


def test_names() -> None:
    assert [component.name for component in samplers()] == ["shuffle", "grouped", "curriculum", "competence"]


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 5))
def test_shuffle_and_grouped_visit_each_row_once(rows: int, groups: int, seed: int) -> None:
    ids = torch.randint(groups, (rows,), generator=torch.Generator().manual_seed(seed)) * 7 - 3
    for config in (Shuffle(), Grouped()):
        order = built(config).order(epoch(rows, seed=seed, groups=ids))
        assert order.dtype == torch.int64
        assert sorted(order.tolist()) == list(range(rows))
        assert torch.equal(order, built(config).order(epoch(rows, seed=seed, groups=ids)))


def test_grouped_puts_groups_together_and_shuffles_them() -> None:
    ids = torch.arange(200) % 20
    order = built(Grouped()).order(epoch(200, groups=ids))
    visited = ids[order].tolist()
    changes = sum(a != b for a, b in itertools.pairwise(visited))
    assert changes in (19, 20), "each group stands together; the one where the order begins may be in two pieces"
    again = ids[built(Grouped()).order(epoch(200, seed=1, groups=ids))].tolist()
    assert list(dict.fromkeys(visited)) != list(dict.fromkeys(again))
    assert order[:10].tolist() != sorted(order[:10].tolist())


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 99))
def test_a_group_stands_in_one_piece_however_large_it_is(groups: list[int], seed: int) -> None:
    ids = torch.tensor(groups)
    visited = ids[built(Grouped()).order(epoch(len(groups), seed=seed, batch_size=4, groups=ids))].tolist()
    # Round a circle: the order begins anywhere in it.
    pieces = sum(visited[place] != visited[place - 1] for place in range(len(visited)))
    assert pieces == (len(set(groups)) if len(set(groups)) > 1 else 0)


def test_batches_of_grouped_are_cut_elsewhere_each_epoch() -> None:
    ids = torch.arange(40) // 20
    begins = {tuple(ids[built(Grouped()).order(epoch(40, seed=seed, groups=ids))][:20].tolist()) for seed in range(20)}
    assert len(begins) > 10


def test_grouped_fills_batches_with_rows_of_one_group() -> None:
    ids = torch.arange(640) // 16  # 40 groups of 16

    def share_of_neighbours(order: torch.Tensor) -> float:
        same = [(ids[batch][:, None] == ids[batch]).float().mean() for batch in order.split(32)]
        return float(torch.stack(same).mean())

    grouped = share_of_neighbours(built(Grouped()).order(epoch(640, groups=ids)))
    shuffled = share_of_neighbours(built(Shuffle()).order(epoch(640, groups=ids)))
    assert grouped > 0.35, "two groups to a batch would be one half, three of which two are cut 3/8"
    assert shuffled < 0.08


def test_without_groups_there_is_nothing_to_keep_together() -> None:
    with pytest.raises(TrainingError, match="sampler grouped: these rows have no groups"):
        built(Grouped()).order(epoch(10))


@pytest.mark.parametrize("config", [Curriculum(), Competence()])
def test_without_difficulty_there_is_no_order(config: Curriculum | Competence) -> None:
    with pytest.raises(TrainingError, match=r"rows have no difficulty; give them one by data: \{difficulty"):
        built(config).order(epoch(10))


PACINGS = [Pacing(), Pacing("root"), Pacing("root", power=3, start=0.1), Pacing("step", stages=3, until=0.8)]


@pytest.mark.parametrize("pacing", PACINGS, ids=lambda pacing: pacing.shape)
def test_the_mean_difficulty_of_what_a_curriculum_shows_rises_by_its_pacing(pacing: Pacing) -> None:
    rows, difficulty = 2000, ranks(2000)
    shown = []
    for number in range(20):
        order = built(Curriculum(pacing)).order(
            epoch(rows, seed=number, begin=number / 20, end=(number + 1) / 20, difficulty=difficulty)
        )
        assert len(order) == rows
        # Uniform ranks up to the share have half of it as their mean.
        assert float(difficulty[order].mean()) == pytest.approx(pacing.share(number / 20) / 2, abs=5e-3)
        assert float(difficulty[order].max()) <= pacing.share(number / 20) + 1e-5
        counts = torch.bincount(order, minlength=rows)
        assert int(counts.max() - counts[counts > 0].min()) <= 1
        shown.append(float(difficulty[order].mean()))
    assert all(later >= earlier - 5e-3 for earlier, later in itertools.pairwise(shown))
    assert shown[-1] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("pacing", PACINGS, ids=lambda pacing: pacing.shape)
def test_competence_rises_within_an_epoch_too(pacing: Pacing) -> None:
    rows, difficulty = 6400, ranks(6400)
    order = built(Competence(pacing)).order(epoch(rows, end=1.0, batch_size=640, difficulty=difficulty))
    assert len(order) == rows
    for number, batch in enumerate(order.split(640)):
        share = pacing.share(number / 10)
        assert float(difficulty[batch].max()) <= share + 1e-5
        assert float(difficulty[batch].mean()) == pytest.approx(share / 2, abs=0.05)
        assert len(batch.unique()) == 640, "there are enough, so none comes up twice"


@pytest.mark.parametrize("config", [Curriculum(), Competence(Pacing())], ids=["curriculum", "competence"])
def test_a_difficulty_that_is_random_gives_a_flat_line(config: Curriculum | Competence) -> None:
    rows = 2000
    hardness, noise = ranks(rows, seed=1), ranks(rows, seed=2)

    def shown(difficulty: torch.Tensor) -> list[float]:
        orders = [
            built(config).order(epoch(rows, seed=n, begin=n / 10, end=(n + 1) / 10, difficulty=difficulty))
            for n in range(10)
        ]
        return [float(hardness[order].mean()) for order in orders]

    by_noise, by_hardness = shown(noise), shown(hardness)
    assert max(by_noise) - min(by_noise) < 0.05
    assert by_hardness[-1] - by_hardness[0] > 0.3


@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 50))
def test_the_easiest_level_is_always_in_use(rows: int, levels: int, batch_size: int) -> None:
    level = torch.arange(rows) % levels
    difficulty = torch.tensor([float((level <= own).sum()) / rows for own in level])
    for config in (Curriculum(Pacing(start=1e-6)), Competence(Pacing(start=1e-6))):
        order = built(config).order(epoch(rows, end=1e-9, batch_size=batch_size, difficulty=difficulty))
        assert len(order) == rows
        assert level[order].eq(0).all()


def test_a_batch_larger_than_what_is_in_use_repeats_it_evenly() -> None:
    difficulty = torch.tensor([0.25, 0.5, 0.75, 1.0])
    order = built(Competence(Pacing(start=0.5))).order(epoch(4, end=1e-9, batch_size=4, difficulty=difficulty))
    assert sorted(order.tolist()) == [0, 0, 1, 1]


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([0, 10**6]), st.integers(0, 2**31))
def test_a_draw_takes_whole_rounds_and_depends_on_its_generator_alone(
    count: int, size: int, shuffled: int, seed: int
) -> None:
    drawn = draw(count, size, torch.Generator().manual_seed(seed), shuffled)
    assert drawn.dtype == torch.int64
    assert drawn.shape == (size,)
    times = torch.bincount(drawn, minlength=count)
    assert len(times) == count
    assert int(times.max() - times.min()) <= 1
    assert torch.equal(drawn, draw(count, size, torch.Generator().manual_seed(seed), shuffled))


@pytest.mark.parametrize(("count", "size"), [(6, 4), (6, 10), (13, 3)], ids=["some", "rounds", "few"])
def test_a_draw_is_uniform_at_each_of_its_places(count: int, size: int) -> None:
    source = torch.Generator().manual_seed(0)
    drawn = torch.stack([draw(count, size, source, shuffled=0) for _ in range(6000)])
    for place in drawn.T:
        share = torch.bincount(place, minlength=count) / len(drawn)
        # Five standard deviations of a share of 6000 draws.
        assert float((share - 1 / count).abs().max()) < 5 * (1 / count / 6000) ** 0.5


def test_a_draw_of_few_shuffles_no_more_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    randperm = torch.randperm
    monkeypatch.setattr(torch, "randperm", lambda n, **options: asked.append(n) or randperm(n, **options))
    draw(10**9, 64, torch.Generator().manual_seed(0))
    assert max(asked) <= 4 * 64
