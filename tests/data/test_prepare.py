from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from attrs import frozen
from torch import Tensor

from core_engine import Example
from core_engine.data.prepare import Splits, prepare
from core_engine.data.rows import Sources
from core_engine.errors import DataError
from core_engine.recipe.difficulty import Length
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed
from core_engine.recipe.schema import Filters, Split


@frozen
class Rows:
    rows: list[Example]

    def read(self) -> Iterator[Example]:
        yield from self.rows


def vector(text: str) -> Tensor:
    return torch.tensor([float(len(text)), float(text.count("a") - text.count("d")), zlib.crc32(text.encode()) / 2**32])


def embed(texts: Sequence[str]) -> Tensor:
    assert len(set(texts)) == len(texts), "every distinct text is embedded once"
    return torch.stack([vector(text) for text in texts])


def dialogue(count: int, groups: int, start: int = 0) -> Rows:
    return Rows(
        [Example(f"r{i}", f"question {i}", f"answer {i}", f"g{i % groups}") for i in range(start, start + count)]
    )


def prepared(sources: Sources, mode: Autoencoder | Dialogue | Mixed | None = None, **filters: object) -> Splits:
    return prepare(sources, mode or Dialogue(), Filters(**filters), Split(), 0, embed)  # type: ignore[arg-type]


def test_pairs_are_embedded_side_by_side() -> None:
    data = prepared(Sources(train=dialogue(40, 10)))
    assert len(data.train) + len(data.validation) + len(data.test) == 40
    # "question 7" and "answer 7" differ by two characters.
    assert torch.equal(data.train.inputs[:, 0] - data.train.targets[:, 0], torch.full((len(data.train),), 2.0))
    assert data.train.group_ids is not None


def test_equal_answers_share_an_id() -> None:
    rows = [Example(f"r{i}", f"question {i}", f"answer {i % 3}", f"g{i}") for i in range(30)]
    data = prepared(Sources(train=Rows(rows)))
    for pairs in (data.train, data.test):
        same_text = (pairs.targets[:, None] == pairs.targets[None]).all(-1)
        assert torch.equal(pairs.target_ids[:, None] == pairs.target_ids[None], same_text)


def test_autoencoder_holds_out_texts_that_training_never_saw() -> None:
    train = Rows([Example("a", "shared", "only train", "g1"), Example("b", "more", "train text", "g1")])
    other = Rows([Example("c", "shared", "fresh one", "g2"), Example("d", "fresh two", "fresh one", "g2")])
    third = Rows([Example("e", "third a", "third b", "g3")])
    data = prepared(Sources(train=train, validation=other, test=third), Autoencoder())
    assert torch.equal(data.validation.inputs, embed(["fresh one", "fresh two"]))
    assert torch.equal(data.validation.inputs, data.validation.targets)
    assert data.report["dropped"] == {"validation": {"stands_elsewhere": 1}}


def test_mixed_adds_each_distinct_training_answer_to_itself() -> None:
    data = prepared(Sources(train=dialogue(40, 10)), Mixed())
    assert data.extra is not None
    assert torch.equal(data.extra.inputs, data.extra.targets)
    assert torch.equal(data.extra.inputs, data.train.targets)


def test_the_corpus_leaves_out_what_is_an_answer_already() -> None:
    corpus = Rows([Example("c1", "answer 101"), Example("c2", "something else"), Example("c3", "something else")])
    answers = Rows([Example("t1", "q", "answer 101", "x"), Example("t2", "q2", "answer 102", "x")])
    data = prepared(Sources(train=dialogue(40, 10), test=answers, corpus=corpus))
    assert data.corpus is not None
    assert torch.equal(data.corpus, embed(["something else"]))


def test_similarity_threshold_drops_training_rows_only() -> None:
    rows = [Example(f"r{i}", "ab" if i % 2 else "a" * 500, "abc" + "d" * (i % 7), f"g{i}") for i in range(60)]
    before = prepared(Sources(train=Rows(rows)), drop_duplicates="none")
    after = prepared(Sources(train=Rows(rows)), drop_duplicates="none", min_similarity=0.9)
    similarity = torch.cosine_similarity(before.train.inputs, before.train.targets)
    assert 2 <= len(after.train) == int((similarity >= 0.9).sum()) < len(before.train)
    assert len(after.test) == len(before.test)
    assert after.report["dropped"] == {"train": {"min_similarity": len(before.train) - len(after.train)}}


def test_ready_embeddings_need_no_teacher() -> None:
    generator = np.random.default_rng(0)
    rows = [
        Example(
            f"r{i}", generator.normal(size=6).astype(np.float32), generator.normal(size=4).astype(np.float32), f"g{i}"
        )
        for i in range(20)
    ]
    data = prepare(Sources(train=Rows(rows)), Dialogue(), Filters(), Split(), 0, None)
    assert data.train.inputs.shape[1] == 6
    assert data.train.targets.shape[1] == 4


@pytest.mark.parametrize(
    ("rows", "mode", "message"),
    [
        ([], Dialogue(), "no rows"),
        ([Example("a", "q", "a")], Dialogue(), "cannot be split"),
        ([Example("a", "q", "a"), Example("a", "q2", "a2")], Dialogue(), "two rows have the id 'a'"),
        ([Example(f"r{i}", f"text {i}") for i in range(9)], Dialogue(), "needs pairs"),
        ([Example(f"r{i}", f"text {i}") for i in range(9)], Mixed(), "needs pairs"),
        ([Example("a", "q", "a"), Example("b", "q")], Dialogue(), "only one of them has a target"),
        ([Example("a", "q"), Example("b", np.ones(3, np.float32))], Autoencoder(), "texts and embeddings are mixed"),
        ([Example("a", np.array([1.0, np.nan]))], Autoencoder(), "row 'a' holds NaN"),
        ([Example("a", np.ones(3)), Example("b", np.ones(4))], Autoencoder(), r"row 'b' is float64 \[4\]"),
        ([Example(f"r{i}", "same", "same") for i in range(9)], Dialogue(), "the filters leave no rows of 9"),
    ],
)
def test_bad_rows_are_named(rows: list[Example], mode: Autoencoder | Dialogue | Mixed, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepared(Sources(train=Rows(rows)), mode)


def test_texts_without_a_teacher_are_an_error() -> None:
    with pytest.raises(DataError, match="no teacher is given"):
        prepare(Sources(train=dialogue(20, 10)), Dialogue(), Filters(), Split(), 0, None)


def vectors(count: int, dim: int, start: int = 0) -> Rows:
    generator = np.random.default_rng(start)
    return Rows(
        [
            Example(f"v{i}", *generator.normal(size=(2, dim)).astype(np.float32), group=f"v{i}")
            for i in range(start, start + count)
        ]
    )


@pytest.mark.parametrize(
    ("sources", "filters", "message"),
    [
        (Sources(train=vectors(20, 6), test=vectors(20, 5, 50)), Filters(), "data.test: inputs are embeddings of 5"),
        (Sources(train=vectors(20, 6), test=dialogue(20, 10)), Filters(), "data.test: inputs are texts"),
        (Sources(train=dialogue(40, 10), corpus=vectors(5, 6)), Filters(), "data.corpus: inputs are embeddings of 6"),
        (Sources(train=vectors(20, 6)), Filters(min_chars=5), "no effect on ready embeddings"),
    ],
)
def test_parts_that_do_not_fit_together_are_named(sources: Sources, filters: Filters, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(sources, Dialogue(), filters, Split(), 0, embed)


def test_a_source_that_fails_is_a_data_error() -> None:
    class Failing:
        def read(self) -> Iterator[Example]:
            yield Example("a", "q", "a")
            raise OSError("the cable is out")

    with pytest.raises(DataError, match="train: the source failed: OSError: the cable is out"):
        prepared(Sources(train=Failing()))


def elsewhere(count: int) -> Rows:
    return Rows([Example(f"e{i}", f"question {100 + i}", f"answer {100 + i}", f"e{i}") for i in range(count)])


def with_siblings(count: int, groups: int, each: int) -> list[Example]:
    rows = dialogue(count, groups).rows
    siblings = [
        Example(f"{row.id}/{n}", f"{row.input} anew {n}", row.target, row.group, origin=row.id)
        for row in rows
        for n in range(each)
    ]
    return rows + siblings


@pytest.mark.parametrize("seed", range(5))
def test_rows_made_from_others_follow_them_into_training_or_nowhere(seed: int) -> None:
    rows = with_siblings(60, 12, 3)
    asked: list[str] = []

    def noting(texts: Sequence[str]) -> Tensor:
        asked.extend(texts)
        return embed(texts)

    data = prepare(Sources(train=Rows(rows)), Dialogue(), Filters(), Split(), seed, noting)
    held_out = len(data.validation) + len(data.test)
    assert len(data.train) == 4 * (60 - held_out)
    assert data.report["synthetic"] == 3 * (60 - held_out)
    assert data.report["dropped"] == {"train": {"synthetic_of_held_out": 3 * held_out}}
    # Nothing of the siblings of held-out rows is even embedded.
    assert sum("anew" in text for text in asked) == 3 * (60 - held_out)


def test_a_row_made_from_another_is_never_held_out() -> None:
    held_out = Rows(with_siblings(10, 2, 1))
    train = Rows([Example(f"t{i}", f"other {i}", f"word {i}", f"t{i}") for i in range(10)])
    data = prepared(Sources(train=train, validation=held_out, test=elsewhere(10)))
    assert len(data.validation) == 10
    assert data.report["dropped"] == {"validation": {"synthetic": 10}}


def test_a_rephrased_question_that_is_asked_in_held_out_data_is_dropped() -> None:
    rows = [Example(f"t{i}", f"other {i}", f"word {i}", f"t{i}") for i in range(10)]
    rows.append(Example("made", "question 3", "word 3", "t3", origin="t3"))
    data = prepared(Sources(train=Rows(rows), validation=dialogue(10, 2), test=elsewhere(10)))
    assert len(data.train) == 10
    assert data.report["dropped"] == {"train": {"synthetic_of_held_out": 1}}


def test_rows_made_from_others_alone_are_an_error() -> None:
    rows = [Example(f"t{i}", f"q {i}", f"a {i}", f"t{i}", origin="gone") for i in range(10)]
    with pytest.raises(DataError, match="all 10 rows were made from others, which are not among them"):
        prepared(Sources(train=Rows(rows)))


def test_further_teachers_embed_the_targets_of_training_and_validation() -> None:
    asked: list[str] = []

    def other(texts: Sequence[str]) -> Tensor:
        asked.extend(texts)
        return torch.tensor([[float(text.split()[1])] * 5 for text in texts])

    data = prepare(Sources(train=dialogue(40, 10)), Dialogue(), Filters(), Split(), 0, embed, further={"big": other})
    assert all(text.startswith("answer") for text in asked)
    assert len(asked) == len(data.train) + len(data.validation)
    for pairs in (data.train, data.validation):
        assert pairs.further["big"].shape == (len(pairs), 5)
        # The number in the text is the one that embed has seen: rows stand where they belong.
        wanted = torch.stack([vector(f"answer {int(row[0])}") for row in pairs.further["big"]])
        assert torch.equal(pairs.targets, wanted)
    assert data.test.further == {}


def test_difficulty_is_of_the_training_rows() -> None:
    data = prepare(Sources(train=dialogue(40, 10)), Dialogue(), Filters(), Split(), 0, embed, difficulty=Length())
    assert data.train.difficulty is not None
    assert data.train.difficulty.eq(1).all(), "all have as many words"
    assert data.validation.difficulty is None
