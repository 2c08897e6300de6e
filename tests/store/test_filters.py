"""Filters mean what Python means by them, and nothing else gets through."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError
from embrl.store.filters import parsed

KINDS = {"price": "number", "stock": "integer", "fresh": "flag", "country": "text"}
COLUMNS = {
    "price": np.array([1.0, 2.5, 9.0, 100.0]),
    "stock": np.array([0, 3, 3, -1]),
    "fresh": np.array([True, False, True, False]),
    "country": np.array(["DE", "FR", 'a "b"', ""]),
}
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


def mask(given: Any, this: dict[str, Any] | None = None) -> list[bool]:
    condition = parsed(given, KINDS, this)
    assert condition is not None
    return condition.mask(COLUMNS).tolist()


comparisons = st.sampled_from(
    ["price < 9", "price >= 2.5", "2 < price <= 9", "3 == stock", "stock in [0, -1]", "fresh",
     "stock not in [3]", "fresh == False", "country != 'DE'", 'country in ("FR", "a \\"b\\"")']
)  # fmt: skip
expressions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda three: f"({three[0]}) {three[1]} ({three[2]})"
        ),
    ),
    max_leaves=6,
)


@given(expressions)
def test_an_expression_means_what_python_means(text):
    wanted = [bool(eval(text, {}, row)) for row in ROWS]
    assert mask(text) == wanted
    condition = parsed(text, KINDS)
    assert condition is not None
    assert mask(condition.expression()) == wanted  # as Milvus gets it


def test_conditions_by_column_must_all_hold():
    found = mask({"price": {"<": 50, ">": 2}, "fresh": True, "stock": [3, 4]})
    assert found == [False, False, True, False]
    assert parsed({}, KINDS) is parsed("", KINDS) is parsed(None, KINDS) is None


def test_this_is_the_row_that_a_search_starts_from():
    assert mask("price > this.price", {"price": 2.5}) == [False, False, True, True]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("price <", "filter must be comparisons"),
        ("__import__('os').system('true')", "filter must be comparisons"),
        ("price < stock", "filter must be comparisons"),
        ("price + 1 < 2", "filter must be comparisons"),
        ("prise < 2", "did you mean price"),
        ("price", "filter on price must be a finite number, got True"),
        ("price < '2'", "filter on price must be a finite number"),
        ("price < 1e999", "filter on price must be a finite number"),
        (f"stock < {2**63}", "filter on stock must be a finite number"),
        ("fresh < 1", "filter on fresh, a flag, must be == or !="),
        ("country > 'A'", "filter on country, a text, must be == or !="),
        ("country == 'a\\0b'", "without control characters"),
        ("stock in []", "filter on stock must be 1 to"),
        ("price < this.price", "got this.price"),
        ("not " * 60 + "fresh", "levels deep"),
        ("fresh" + " or fresh" * 900, "filter must be at most"),
        ("(" * 1000 + "fresh" + ")" * 1000, "filter must be"),
        ({"price": {"~": 1}}, "unknown comparison in filter"),
        ([1], "filter must be text or conditions by column"),
    ],
)
def test_anything_else_is_refused_in_one_line(bad: Any, said):
    with pytest.raises(EmbrlError) as error:
        parsed(bad, KINDS)
    assert said in str(error.value)
