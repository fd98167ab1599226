"""Random numbers drawn by counter, so that a sample's noise does not depend on the batch it stands in.

The recipe, which every backend follows bit for bit up to step 3. All integers are unsigned and modulo 2^64, negative
ones in two's complement; ``GAMMA = 0x9E3779B97F4A7C15``::

    mix(z):  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
             z = (z ^ (z >> 27)) * 0x94D049BB133111EB
             return z ^ (z >> 31)

    1. key  = mix((mix((mix(seed + GAMMA) ^ sample) + GAMMA) ^ step) + GAMMA)
    2. bits = mix(key + (j + 1) * GAMMA)               one word for the pair of elements e = 2 j and e = 2 j + 1
    3. u = ((bits >> 40) + 1) / 2^24 in (0, 1],  v = (bits mod 2^24) / 2^24 in [0, 1)
    4. noise[2 j] = sqrt(-2 ln u) cos(2 pi v),  noise[2 j + 1] = sqrt(-2 ln u) sin(2 pi v)

``e`` is the element's row-major position within its sample: for a state ``[B, X, Y, Z, C]`` it is
``((x * Y + y) * Z + z) * C + c``. An odd last element uses the cosine only.

Steps 1 and 2 are the generator SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
2014, with Stafford's finaliser 13), entered at a key hashed from seed, sample and step. Steps 3 and 4 are Box and
Muller (1958). 24 bits are what float32 holds exactly, so float32 and float64 give the same noise up to rounding; no
value exceeds sqrt(48 ln 2) = 5.77.

Uniform numbers, such as decide which cells update, come from a key of their own, and so are independent of the normals
of the same seed, sample and step::

    1. key  = mix(((key of the normals) ^ 1) + GAMMA)
    2. bits = mix(key + (e + 1) * GAMMA)               one word for each element e
    3. uniform[e] = (bits >> 40) / 2^24 in [0, 1)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def _signed(word: int) -> int:
    """The int64 that holds the same 64 bits."""
    word &= (1 << 64) - 1
    return word - (1 << 64) if word >> 63 else word


_GAMMA = _signed(0x9E3779B97F4A7C15)
_FACTOR_1 = _signed(0xBF58476D1CE4E5B9)
_FACTOR_2 = _signed(0x94D049BB133111EB)
_LOW_24 = (1 << 24) - 1


def _xor_shift_(z: Tensor, bits: int) -> Tensor:
    """``z ^= z >> bits`` with zeros shifted in (int64 shifts copy the sign)."""
    shifted = z >> bits
    shifted &= (1 << (64 - bits)) - 1
    z ^= shifted
    return z


def _mix_(z: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place on int64: a bijection of 64-bit words."""
    _xor_shift_(z, 30)
    z *= _FACTOR_1
    _xor_shift_(z, 27)
    z *= _FACTOR_2
    return _xor_shift_(z, 31)


def random_bits(words: int, seed: int, sample_ids: Tensor, step: int, uniform: bool = False) -> Tensor:
    """Steps 1 and 2 of the recipe for normals, or for uniform numbers: int64 ``[B, words]`` on the device of
    ``sample_ids`` (int64 ``[B]``).
    """
    key = _mix_(torch.full_like(sample_ids, seed) + _GAMMA)
    key = _mix_((key ^ sample_ids) + _GAMMA)
    key = _mix_((key ^ step) + _GAMMA)
    if uniform:
        key = _mix_((key ^ 1) + _GAMMA)
    counter = torch.arange(1, words + 1, dtype=torch.int64, device=sample_ids.device) * _GAMMA
    return _mix_(key[:, None] + counter)


def normal(
    shape: Sequence[int],
    seed: int,
    sample_ids: Tensor,
    step: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Standard normals of the given ``shape [B, ...]``, keyed by (seed, sample, step, element).

    ``seed`` and ``step`` are int64, ``sample_ids`` int64 ``[B]``. Equal keys give equal noise in any batch, order and
    call, on any device up to rounding. float64 is computed in float64, every other dtype in float32 and then rounded.
    The global generators are neither read nor advanced. ValueError where ``sample_ids`` does not fit the shape.
    """
    _require_ids(shape, sample_ids)
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    elements = math.prod(shape[1:])
    noise: Tensor = _box_muller(sample_ids.to(device), (elements + 1) // 2, seed, step, compute)
    return noise[:, :elements].reshape(shape).to(dtype)


def uniform(shape: Sequence[int], seed: int, sample_ids: Tensor, step: int, device: torch.device) -> Tensor:
    """Uniform numbers in [0, 1) of the given ``shape [B, ...]``, keyed by (seed, sample, step, element).

    Like :func:`normal` in all else, but float32 always, which holds each of the 2^24 values exactly: on any device the
    same bits, so that ``uniform(...) < p`` decides alike everywhere.
    """
    _require_ids(shape, sample_ids)
    drawn: Tensor = _uniform(sample_ids.to(device), math.prod(shape[1:]), seed, step)
    return drawn.reshape(shape)


def _require_ids(shape: Sequence[int], sample_ids: Tensor) -> None:
    if sample_ids.dtype != torch.int64 or tuple(sample_ids.shape) != (shape[0],):
        raise ValueError(
            f"sample_ids must be int64 [{shape[0]}] to draw noise of shape {list(shape)}, "
            f"not {sample_ids.dtype} {list(sample_ids.shape)}"
        )


# Operators of their own, so that torch.compile leaves the integers alone: it takes their arithmetic for that of
# indices, which never wraps.
@torch.library.custom_op(
    "core_engine::box_muller",
    mutates_args=(),
    schema="(Tensor sample_ids, SymInt pairs, SymInt seed, SymInt step, ScalarType dtype) -> Tensor",
)
def _box_muller(sample_ids: Tensor, pairs: int, seed: int, step: int, dtype: torch.dtype) -> Tensor:
    """Steps 1 to 4: ``[B, 2 pairs]``."""
    bits = random_bits(pairs, seed, sample_ids, step)
    # In place where it can be: at lattice sizes, fresh memory costs more than the arithmetic.
    radius = (bits >> 40).bitwise_and_(_LOW_24).to(dtype).add_(1).mul_(2.0**-24)
    radius = radius.log_().mul_(-2).sqrt_()
    angle = bits.bitwise_and_(_LOW_24).to(dtype).mul_(2 * math.pi * 2.0**-24)
    noise = radius.new_empty(len(sample_ids), pairs, 2)
    noise[..., 0] = angle.cos().mul_(radius)
    noise[..., 1] = angle.sin_().mul_(radius)
    return noise.flatten(1)


@_box_muller.register_fake
def _(sample_ids: Tensor, pairs: int, seed: int, step: int, dtype: torch.dtype) -> Tensor:
    return sample_ids.new_empty(len(sample_ids), 2 * pairs, dtype=dtype)


@torch.library.custom_op(
    "core_engine::uniform",
    mutates_args=(),
    schema="(Tensor sample_ids, SymInt elements, SymInt seed, SymInt step) -> Tensor",
)
def _uniform(sample_ids: Tensor, elements: int, seed: int, step: int) -> Tensor:
    """Steps 1 to 3: float32 ``[B, elements]``."""
    bits = random_bits(elements, seed, sample_ids, step, uniform=True)
    return (bits >> 40).bitwise_and_(_LOW_24).float().mul_(2.0**-24)


@_uniform.register_fake
def _(sample_ids: Tensor, elements: int, seed: int, step: int) -> Tensor:
    return sample_ids.new_empty(len(sample_ids), elements, dtype=torch.float32)
