import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.agents.groups import Groups, split
from embrl.core.errors import EmbrlError


def test_cart_pole_s_groups():
    groups = Groups()
    returns = [0, 49.99, 50, 194.9, 195, 474.9, 475, 500]
    np.testing.assert_array_equal(groups.of(np.array(returns)), [0, 0, 1, 1, 2, 2, 3, 3])
    assert groups.names == ("below 50", "50 to 195", "195 to 475", "475 and more")
    assert groups.count == 4


def test_quartiles():
    assert Groups.quartiles(np.arange(-100.0, 1)) == Groups((-75.0, -50.0, -25.0))
    assert np.bincount(Groups.quartiles(np.arange(8)).of(np.arange(8))).tolist() == [2, 2, 2, 2]
    # three in four have the least return
    many = np.array([-200.0] * 60 + [-120.0] * 20 + [-110.0])
    assert Groups.quartiles(many).names == ("below -120", "-120 and more")
    assert Groups.quartiles(np.full(5, -200.0)).names == ("all",)


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1))
def test_no_quartile_is_empty(returns):
    groups = Groups.quartiles(np.array(returns))
    assert (np.bincount(groups.of(np.array(returns)), minlength=groups.count) > 0).all()


def test_default_groups():
    returns = np.arange(8.0)
    assert Groups.default("cart_pole", returns) == Groups()
    assert Groups.default("mountain_car", returns) == Groups.quartiles(returns)


@pytest.mark.parametrize("bounds", [(2.0, 1.0), (1.0, 1.0), (float("nan"),), (float("inf"),)])
def test_bounds_that_are_none(bounds):
    with pytest.raises(EmbrlError, match="finite and increasing"):
        Groups(bounds)


def test_returns_that_are_none():
    for use in (Groups().of, Groups.quartiles):
        with pytest.raises(EmbrlError, match="returns must be finite"):
            use(np.array([1.0, np.nan]))
    with pytest.raises(EmbrlError, match="got no agents"):
        Groups.quartiles(np.array([]))


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=2).filter(lambda found: len(set(found)) > 1),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
)
def test_no_lineage_is_on_both_sides(lineage, held_out, seed):
    lineage = np.array(lineage)
    train, out = split(lineage, held_out, seed)
    np.testing.assert_array_equal(train, ~out)
    assert train.any()
    assert out.any()
    assert not set(lineage[train]) & set(lineage[out])


def test_the_share_is_of_lineages_and_the_seed_decides_which():
    lineage = np.repeat(np.arange(50), 3)
    _, out = split(lineage, 0.2, seed=1)
    assert len(set(lineage[out])) == 10
    np.testing.assert_array_equal(out, split(lineage, 0.2, seed=1)[1])
    assert (out != split(lineage, 0.2, seed=2)[1]).any()


def test_a_split_that_cannot_be():
    with pytest.raises(EmbrlError, match=r"lineages must be 2 or more.* got 1"):
        split(np.zeros(5, int))
    for share in (0, 1, float("nan")):
        with pytest.raises(EmbrlError, match="held_out must be between 0 and 1"):
            split(np.arange(5), share)
