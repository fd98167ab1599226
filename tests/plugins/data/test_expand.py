"""The data source ``expand``."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core_engine_data import Expand
from core_engine_data.expand.quality import Weights
from expanding import RULES, Rows, Written, embed, expanded, options, rephraser, source, spread

from core_engine import Example, Kind
from core_engine.errors import DataError, PluginError
from core_engine.host.host import PluginHost
from core_engine.recipe.nodes import Node
from core_engine.recipe.schema import Data
from core_engine.recipe.structure import Structurer
from core_engine.recipe.yaml_source import parse_yaml

PAIRS = [
    Example("a", "where can i park", "Behind the house.", "parking", {"asked_by": "phone"}),
    Example("b", "is parking free", "Yes.", "parking"),
    Example("c", "when is breakfast", "From 7 to 10.", "breakfast"),
    Example("d", "are dogs welcome", "They are."),
]


def numbered(text: str, count: int) -> list[str]:
    return [f"{text}, please, number {'x' * (i + 1)}" for i in range(count)]


NUMBERED = rephraser(Written(each=numbered))


def provenance(row: Example) -> Any:
    return row.metadata["expand"]


def test_sixty_pairs_become_240_with_provenance() -> None:
    rows = spread(60)
    found = expanded(rows, 240)
    assert len(found) == 240
    assert found[:60] == rows
    by_id = {row.id: row for row in found}
    assert len(by_id) == 240
    for row in found[60:]:
        assert row.origin is not None
        origin = by_id[row.origin]
        assert origin in rows
        assert re.fullmatch(re.escape(origin.id) + r"/\d+", row.id)
        assert (row.target, row.group) == (origin.target, origin.group)
        assert row.input != origin.input
        assert {key: row.metadata[key] for key in origin.metadata} == origin.metadata
        assert provenance(row)["original"] == origin.input
        assert provenance(row)["rephraser"] == "rules"
        assert 0.6 <= provenance(row)["quality"] <= 1


def test_growth_is_the_same_for_each_group_up_to_one_row() -> None:
    found = expanded(spread(60, groups=25), 240)
    grown = Counter(row.group for row in found if row.origin is not None)
    assert len(grown) == 25
    assert max(grown.values()) - min(grown.values()) <= 1


def test_small_groups_grow_by_as_much_as_large_ones_and_the_rest_goes_on_when_one_is_done() -> None:
    few = {"when is breakfast": numbered("when is breakfast", 2)}
    many = {row.input: numbered(str(row.input), 9) for row in PAIRS if row.group != "breakfast"}
    found = expanded(PAIRS, 4 + 9, [rephraser(Written(few | many))], wordings=9, min_quality=0.0)
    assert Counter(row.group for row in found[4:]) == {"parking": 4, "breakfast": 2, None: 3}


def test_the_best_of_a_group_come_first() -> None:
    all_of_them = expanded(PAIRS[:2], 2 + 12, [NUMBERED], wordings=6, min_quality=0.0)
    qualities = [provenance(row)["quality"] for row in all_of_them[2:]]
    assert qualities == sorted(qualities, reverse=True)
    assert len(set(qualities)) > 3
    few = expanded(PAIRS[:2], 2 + 5, [NUMBERED], wordings=6, min_quality=0.0)
    assert [row.input for row in few] == [row.input for row in all_of_them[:7]]


def test_quality_is_the_weighted_mean_of_its_parts() -> None:
    weights = Weights(relevance=2, novelty=1, length=0.5)
    found = expanded(spread(60), 120, weights=weights, min_quality=0.0)
    assert len({provenance(row)["quality"] for row in found[60:]}) > 30
    for row in found[60:]:
        old, new = str(provenance(row)["original"]), str(row.input)
        a, b = embed([old, new]).double().tolist()
        cosine = sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))
        words_of_old = set(re.findall(r"\w+(?:'\w+)*", old.lower()))
        words_of_new = set(re.findall(r"\w+(?:'\w+)*", new.lower()))
        common = [word for word in words_of_old if word in words_of_new]
        novelty = 1 - len(common) / (len(words_of_old) + len(words_of_new) - len(common))
        length = min(len(old) / len(new), len(new) / len(old))
        expected = {
            "relevance": cosine,
            "novelty": novelty,
            "length": length,
            "quality": (2 * cosine + novelty + length / 2) / 3.5,
        }
        assert {key: provenance(row)[key] for key in expected} == pytest.approx(expected)


def test_quality_without_a_teacher() -> None:
    found = expanded(PAIRS, 8, [NUMBERED], embed=None, weights=Weights(relevance=0), min_quality=0.0)
    assert {provenance(row)["relevance"] for row in found[4:]} == {None}
    for row in found[4:]:
        parts = provenance(row)
        assert parts["quality"] == pytest.approx((parts["novelty"] + parts["length"]) / 2)


def test_an_opposite_meaning_counts_as_none() -> None:
    def opposite(texts: Any) -> Any:
        rows = embed(texts)
        rows[["please" in text for text in texts]] *= -1
        return rows

    found = expanded(PAIRS, 8, [NUMBERED], embed=opposite, min_quality=0.0)
    assert {provenance(row)["relevance"] for row in found[4:]} == {0.0}


def test_it_is_decided_by_the_seed() -> None:
    rows = spread(60)
    assert expanded(rows, 200, seed=3) == expanded(rows, 200, seed=3)
    assert expanded(rows, 200, seed=3) != expanded(rows, 200, seed=4)


def test_no_text_stands_there_twice() -> None:
    answer = "Behind the house"
    given = [
        "Where can I park?",  # the question itself, but for case and mark
        "  When is  breakfast",  # another question
        f"{answer}?",  # an answer
        "Is there parking",
        "is there parking?",  # one that was given already
        "",
        "Any place to park?",
    ]
    found = expanded(PAIRS, 6, [rephraser(Written({"where can i park": given}))], min_quality=0.0)
    assert {row.input for row in found[4:]} == {"Is there parking", "Any place to park?"}
    again = {"where can i park": ["Any place for a car?"], "is parking free": ["any place for a car", "For nothing?"]}
    found = expanded(PAIRS, 6, [rephraser(Written(again))], min_quality=0.0)
    assert len({str(row.input).lower().strip("?") for row in found}) == 6


def test_shipped_pairs_have_no_duplicates_after_growth() -> None:
    found = expanded(spread(300, groups=50), 900, min_quality=0.3)
    texts = [str(row.input).casefold().rstrip("?.") for row in found]
    assert len(set(texts)) == len(texts) == 900
    assert not set(texts) & {str(row.target).casefold().rstrip(".") for row in found}


def test_several_rephrasers_add_up_and_are_named() -> None:
    other = rephraser(Written(each=lambda text, count: [f"hello, {text}"]), "greeting")
    found = expanded(PAIRS, 4 + 4 + 8, [NUMBERED, other], wordings=2, min_quality=0.0)
    assert Counter(provenance(row)["rephraser"] for row in found[4:]) == {"written": 8, "greeting": 4}


def test_per_row_and_wordings_are_limits() -> None:
    found = expanded(PAIRS, 12, [NUMBERED], per_row=2, min_quality=0.0)
    assert set(Counter(row.origin for row in found[4:]).values()) == {2}
    with pytest.raises(DataError, match=r"of 32 wordings .* 8 of those .* raise wordings or per_row"):
        expanded(PAIRS, 13, [NUMBERED], per_row=2, min_quality=0.0)
    with pytest.raises(DataError, match=r"of 12 wordings that"):
        expanded(PAIRS, 17, [NUMBERED], wordings=3, min_quality=0.0)


def test_too_few_good_questions_are_an_error_that_counts_them() -> None:
    rows = spread(60)
    with pytest.raises(DataError) as error:
        expanded(rows, 240, min_quality=0.95)
    words = str(error.value)
    assert "size is 240, and 60 rows with" in words
    assert "quality of at least 0.95" in words
    assert "lower size or min_quality" in words
    assert "add rephrasers" in words


def test_ids_give_way_to_those_of_the_source() -> None:
    rows = [*PAIRS, Example("a/1", "what about bicycles", "In the shed.", "parking")]
    found = expanded(rows, 7, [rephraser(Written({"where can i park": ["a car?", "my car?"]}))], min_quality=0.0)
    assert [row.id for row in found[5:]] == ["a/2", "a/3"]


def test_rows_that_were_made_already_are_kept_and_not_rephrased() -> None:
    rows = [*PAIRS, Example("a/1", "any parking", "Behind the house.", "parking", origin="a")]
    found = expanded(rows, 13, [NUMBERED], wordings=2, min_quality=0.0)
    assert found[:5] == rows
    assert {row.origin for row in found[5:]} == {"a", "b", "c", "d"}


def test_the_source_alone_where_it_has_the_size() -> None:
    assert expanded(PAIRS, 4, [rephraser(Written())]) == PAIRS
    with pytest.raises(DataError, match="size is 3, and the source alone has 4 rows; raise size"):
        expanded(PAIRS, 3)


def test_relevance_needs_a_teacher() -> None:
    with pytest.raises(DataError, match=r"there is none: choose one under 'teacher', or set weights: \{relevance: 0\}"):
        expanded(PAIRS, 8, [NUMBERED], embed=None)


@pytest.mark.parametrize("row", [Example("t", "a text alone"), Example("e", np.ones(3), np.ones(3))])
def test_only_pairs_of_texts_can_grow(row: Example) -> None:
    with pytest.raises(DataError, match=f"row '{row.id}' is no pair of question and answer"):
        expanded([row], 2)


def test_a_rephraser_that_breaks_is_named() -> None:
    def broken(text: str, count: int) -> list[str]:
        raise RuntimeError("no such model")

    with pytest.raises(PluginError, match=r"rephraser 'mine' \(tests.*\) failed: RuntimeError: no such model"):
        expanded(PAIRS, 8, [rephraser(Written(each=broken), "mine")])


def test_a_rephraser_that_gives_too_few_lists_is_named() -> None:
    class Short(Written):
        def rephrase(self, texts: Any, count: int) -> list[list[str]]:
            return [["one"]]

    with pytest.raises(PluginError, match=r"'mine' .* gave wordings of 1 texts, and 4 were asked for"):
        expanded(PAIRS, 8, [rephraser(Short(), "mine")])


def test_options_are_checked() -> None:
    class Ready(Rows):
        yields_embeddings = True

    assert list(options(PAIRS, 8).check()) == []
    ready = Expand(source=source(Ready()), size=8, rephrasers=[RULES])
    assert [option for option, _ in ready.check()] == ["source"]
    for wrong in ({"min_quality": 1.1}, {"per_row": 0}, {"wordings": 0}, {"rephrasers": []}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            options(PAIRS, 8, **wrong)
    with pytest.raises(ValueError, match="at least one weight must be above 0"):
        Weights(relevance=0, novelty=0, length=0)


def test_a_recipe_names_it_with_its_parts(tmp_path: Path) -> None:
    recipe = (
        "data:\n  train:\n    type: expand\n    source: {type: quickstart}\n    size: 400\n"
        "    rephrasers: [{type: rules}]\n    weights: {relevance: 0}\n    per_row: 3\n"
    )
    root, problems = parse_yaml(recipe, "r.yaml", tmp_path)
    assert root is not None, problems
    assert isinstance(root.value, dict)
    node: Node = root.value["data"]
    structurer = Structurer(PluginHost.discover().registry)
    data = structurer.structure(node, Data, "data")
    assert data is not None, structurer.problems
    config = data.train.config
    assert (config.source.type, config.rephrasers[0].kind, config.per_row) == ("quickstart", Kind.REPHRASER, 3)
    assert config.rephrasers[0].config == RULES.config
