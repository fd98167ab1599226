from __future__ import annotations

import numpy as np

from core_engine.data.identity import identity


def test_an_embedding_is_the_same_whatever_its_file_holds_it_in() -> None:
    row = np.random.default_rng(0).standard_normal(7).astype("float16")
    same = {identity(row.astype(dtype)) for dtype in ("<f2", "<f4", ">f4", "<f8")}
    assert len(same) == 1
    assert identity(row.astype("float32") + np.float32(1e-3)) not in same
    # What float32 cannot tell apart, tables do not hold apart.
    assert identity(np.array([1.0])) == identity(np.array([1.0 + 1e-12]))


def test_texts_are_the_same_but_for_white_space_at_their_ends() -> None:
    assert identity(" a b\n") == identity("a b") != identity("a  b")
    assert identity(None) is None
