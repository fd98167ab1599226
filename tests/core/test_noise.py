from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core_engine.core.noise import normal, random_bits, uniform

CPU = torch.device("cpu")
MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15
INT64 = st.integers(-(2**63), 2**63 - 1)


def draw(
    shape: tuple[int, ...],
    seed: int = 0,
    ids: Tensor | None = None,
    step: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    return normal(shape, seed, torch.arange(shape[0]) if ids is None else ids, step, dtype, CPU)


# The recipe of the module's docstring, in Python's own integers.


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def word(seed: int, sample: int, step: int, j: int) -> int:
    key = 0
    for value in (seed, sample, step):
        key = mix(((key ^ (value & MASK)) + GAMMA) & MASK)
    return mix((key + (j + 1) * GAMMA) & MASK)


def test_the_mixer_of_the_recipe_is_splitmix64() -> None:
    # Published outputs of SplitMix64 for the seed 1234567.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [mix((1234567 + (j + 1) * GAMMA) & MASK) for j in range(4)] == published


@given(INT64, INT64, st.integers(0, 2**31))
@settings(max_examples=50)
def test_integers_follow_the_recipe_bit_by_bit(seed: int, sample: int, step: int) -> None:
    bits = random_bits(5, seed, torch.tensor([sample, 7]), step)
    for row, each in enumerate((sample, 7)):
        assert [value & MASK for value in bits[row].tolist()] == [word(seed, each, step, j) for j in range(5)]


def uniform_word(seed: int, sample: int, step: int, e: int) -> int:
    key = 0
    for value in (seed, sample, step, 1):
        key = mix(((key ^ (value & MASK)) + GAMMA) & MASK)
    return mix((key + (e + 1) * GAMMA) & MASK)


@given(INT64, INT64, st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_uniform_numbers_follow_the_recipe_bit_by_bit(seed: int, sample: int, step: int) -> None:
    drawn = uniform((2, 3, 2), seed, torch.tensor([sample, 7]), step, CPU)
    assert drawn.dtype == torch.float32
    for row, each in enumerate((sample, 7)):
        expected = [(uniform_word(seed, each, step, e) >> 40) / 2**24 for e in range(6)]
        assert drawn[row].flatten().tolist() == expected


def test_recipe_is_frozen() -> None:
    # Other backends and old checkpoints rely on these words.
    assert uniform((1, 2), 0, torch.tensor([0]), 0, CPU)[0].mul(2**24).int().tolist() == [2975015, 4109041]
    assert [hex(value & MASK) for value in random_bits(2, 0, torch.tensor([0]), 0)[0].tolist()] == [
        "0x2130748aaac80268",
        "0xcc78fb979ce5090",
    ]


def test_normals_are_box_muller_of_the_integers() -> None:
    drawn = draw((2, 3, 5), seed=11, ids=torch.tensor([4, -9]), step=2, dtype=torch.float64).flatten(1)
    for row, sample in enumerate((4, -9)):
        for element in range(15):
            bits = word(11, sample, 2, element // 2)
            radius = math.sqrt(-2 * math.log(((bits >> 40) + 1) / 2**24))
            turn = math.cos if element % 2 == 0 else math.sin
            expected = radius * turn(2 * math.pi * (bits % 2**24) / 2**24)
            assert drawn[row, element].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
def test_dtypes_agree_up_to_rounding(dtype: torch.dtype, tolerance: float) -> None:
    exact = draw((16, 999), dtype=torch.float64)
    rounded = draw((16, 999), dtype=dtype)
    assert rounded.dtype == dtype
    torch.testing.assert_close(rounded.double(), exact, atol=tolerance, rtol=tolerance)


@given(st.permutations(range(6)), st.integers(1, 6))
@settings(max_examples=25)
def test_a_samples_noise_does_not_depend_on_its_batch(order: list[int], count: int) -> None:
    ids = torch.tensor(order[:count]) * 1000 - 2000
    whole = draw((6, 2, 3, 4, 5), seed=1, ids=torch.arange(6) * 1000 - 2000, step=3)
    part = draw((count, 2, 3, 4, 5), seed=1, ids=ids, step=3)
    torch.testing.assert_close(part, whole[order[:count]], rtol=0, atol=1e-6)


def test_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    first = draw((4, 100))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(draw((4, 100)), first)


def test_wrong_sample_ids_are_refused() -> None:
    with pytest.raises(ValueError, match=r"int64 \[3\].*float32 \[3\]"):
        draw((3, 4), ids=torch.zeros(3))
    with pytest.raises(ValueError, match=r"int64 \[3\].*\[2\]"):
        draw((3, 4), ids=torch.arange(2))
    with pytest.raises(ValueError, match=r"int64 \[3\].*\[2\]"):
        uniform((3, 4), 0, torch.arange(2), 0, CPU)


def test_moments_and_distribution() -> None:
    noise = draw((1000, 1001), dtype=torch.float64).flatten()
    n = len(noise)
    assert abs(noise.mean()) < 5 / math.sqrt(n)
    assert abs(noise.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((noise**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((noise**4).mean() - 3) < 5 * math.sqrt(96 / n)
    # Chi square over bins that a normal distribution fills alike.
    bins = 256
    counts = torch.bincount((torch.special.ndtr(noise) * bins).long().clamp(max=bins - 1), minlength=bins)
    chi_square = ((counts - n / bins) ** 2 / (n / bins)).sum().item()
    assert abs(chi_square - (bins - 1)) < 5 * math.sqrt(2 * (bins - 1))
    # The tails: beyond 4 there should be 6.3e-5 of all.
    assert (noise.abs() > 4).sum().item() == pytest.approx(6.334e-5 * n, abs=5 * math.sqrt(6.334e-5 * n))


def correlation(a: Tensor, b: Tensor) -> float:
    """In standard deviations of that of independent normals; values and their squares."""
    n = a.numel()
    plain = (a * b).mean().item() * math.sqrt(n)
    squares = ((a**2 - 1) * (b**2 - 1)).mean().item() / 2 * math.sqrt(n)
    return max(abs(plain), abs(squares))


@pytest.mark.parametrize("seed", [0, 1, 2**62 + 12345])
def test_independent_of_neighbours_in_every_direction(seed: int) -> None:
    noise = draw((64, 8, 8, 8, 16), seed=seed, dtype=torch.float64)
    for axis in range(5):
        for lag in (1, 2):
            length = noise.shape[axis] - lag
            assert correlation(noise.narrow(axis, 0, length), noise.narrow(axis, lag, length)) < 5, (axis, lag)
    for others in (
        {"step": 1},
        {"step": 2},
        {"ids": torch.arange(64) + 64},
        {"ids": torch.arange(64) * 2 + 1},
        {"ids": torch.arange(64) ^ (1 << 62)},
    ):
        assert correlation(noise, draw(noise.shape, **{"seed": seed, **others}, dtype=torch.float64)) < 5, others
    for other_seed in (seed + 1, seed ^ (1 << 40), -seed - 1):
        assert correlation(noise, draw(noise.shape, seed=other_seed, dtype=torch.float64)) < 5, other_seed


def test_seed_sample_and_step_do_not_stand_in_for_each_other() -> None:
    draws = [draw((1, 64), seed=a, ids=torch.tensor([b]), step=c) for a, b, c in [(1, 2, 3), (2, 1, 3), (3, 2, 1)]]
    draws += [
        draw((1, 64), seed=1, ids=torch.tensor([3]), step=2),
        draw((1, 64), seed=2, ids=torch.tensor([3]), step=1),
    ]
    for i, one in enumerate(draws):
        for other in draws[i + 1 :]:
            assert not torch.allclose(one, other, atol=0.1)


def test_all_pairs_of_samples_are_uncorrelated() -> None:
    noise = draw((200, 4096), dtype=torch.float64)
    matrix = noise @ noise.T / math.sqrt(4096)
    off_diagonal = matrix[~torch.eye(200, dtype=torch.bool)]
    assert off_diagonal.abs().max() < 6
    assert off_diagonal.square().mean().item() == pytest.approx(1, abs=5 * math.sqrt(2 / (200 * 199 / 2)))


def test_uniform_numbers_fill_the_unit_interval_evenly() -> None:
    drawn = uniform((1000, 1001), 5, torch.arange(1000), 2, CPU).flatten().double()
    n, bins = len(drawn), 256
    assert (drawn >= 0).all()
    assert (drawn < 1).all()
    assert abs(drawn.mean() - 0.5) < 5 / math.sqrt(12 * n)
    counts = torch.bincount((drawn * bins).long(), minlength=bins)
    chi_square = ((counts - n / bins) ** 2 / (n / bins)).sum().item()
    assert abs(chi_square - (bins - 1)) < 5 * math.sqrt(2 * (bins - 1))


def test_uniform_numbers_are_independent_of_one_another_and_of_the_normals() -> None:
    def drawn(seed: int = 3, step: int = 0, first: int = 0) -> Tensor:
        """With mean 0 and variance 1."""
        return (uniform((64, 32, 33), seed, torch.arange(first, first + 64), step, CPU).double() - 0.5) * math.sqrt(12)

    one = drawn()
    others = [drawn(seed=4), drawn(step=1), drawn(first=64), one.roll(1, 0), one.roll(1, 1), one.roll(1, 2)]
    # Normals of the same key, element for element and word for word.
    normals = draw((64, 32, 66), seed=3, dtype=torch.float64)
    others += [normals[..., :33], normals[..., ::2], normals[..., 1::2], normals[..., ::2].square() - 1]
    for index, other in enumerate(others):
        assert abs((one * other).mean().item()) * math.sqrt(one.numel()) < 7, index


def test_a_samples_uniform_numbers_do_not_depend_on_its_batch() -> None:
    ids = torch.tensor([5, -3, 2**40])
    whole = uniform((3, 2, 3), 1, ids, 4, CPU)
    for row in range(3):
        assert torch.equal(uniform((1, 2, 3), 1, ids[row : row + 1], 4, CPU)[0], whole[row])


def test_uniform_numbers_compile_without_graph_breaks() -> None:
    compiled = torch.compile(
        lambda ids: uniform((4, 5), 2**62 + 9, ids, 3, CPU) * 2, fullgraph=True, backend="aot_eager"
    )
    torch.testing.assert_close(compiled(torch.arange(4)), uniform((4, 5), 2**62 + 9, torch.arange(4), 3, CPU) * 2)
