"""Actions with several parts: rows, masks, spaces in JSON."""

import numpy as np
import pytest
from gymnasium import spaces

from embrl.core.errors import EmbrlError
from embrl.core.products import PartMasks, as_space, check_row, product_of
from embrl.core.spaces import check_action, check_mask, from_json, to_json
from embrl.data.rollout import random_actions
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.masks import SpaceMasks


def f32(values: list) -> np.ndarray:
    return np.array(values, np.float32)


HYBRID = as_space((3, 2), spaces.Box(f32([-1, 0]), f32([1, np.inf])))
NESTED = spaces.Dict(
    flags=spaces.MultiBinary((2, 2)),
    inner=spaces.Tuple(
        (spaces.Discrete(3, start=5), spaces.Box(-2, 2, (2, 1), np.float64), spaces.Discrete(4))
    ),
    whole=spaces.Box(0, 9, (1,), np.int64),
)


def test_rows_are_divided_and_joined():
    product = product_of(HYBRID)
    assert product is not None
    rows = f32([[2, 1, 0.5, 7.0], [0, 0, -1.0, 0.0]])
    indices, numbers = product.split(rows)
    assert indices.tolist() == [[2, 1], [0, 0]]
    assert (product.joined(indices, numbers) == rows).all()
    assert (check_action(HYBRID, rows) == rows).all()
    assert from_json(to_json(HYBRID), "here") == HYBRID


@pytest.mark.parametrize(
    ("row", "said"),
    [([3, 0, 0, 0], "part 0 .* 2, got 3"), ([0, 0.5, 0, 0], "part 1"), ([0, 0, 0], "4")],
)
def test_wrong_rows_say_which_part(row: list, said: str):
    product = product_of(HYBRID)
    assert product is not None
    with pytest.raises(EmbrlError, match=said):
        check_row(product, f32(row))


@pytest.mark.parametrize("space", [NESTED, spaces.MultiDiscrete([67] * 20, start=[1] * 20)])
def test_actions_come_back_as_they_were(space: spaces.Space):
    actions = Actions(space)
    product = product_of(actions.space)
    assert product is not None
    space.seed(0)
    for _ in range(20):
        action = space.sample()
        row = actions.from_original(action)
        assert row.shape == (product.length,)
        back = actions.to_original(row)
        assert back in space
        assert (actions.from_original(back) == row).all()


def test_small_products_stay_tables_unless_asked():
    small = spaces.MultiDiscrete([8, 8, 8, 8])
    assert Actions(small).space == spaces.Discrete(4096)
    assert Actions(small, "product").space == small
    large = spaces.MultiDiscrete([8] * 5)
    assert Actions(large).space == large
    assert Actions(large, "table").space == spaces.Discrete(8**5)
    assert Actions.fitting(large, spaces.Discrete(8**5)).space == spaces.Discrete(8**5)


def test_random_actions_take_every_value_of_every_part():
    import jax

    rows = np.asarray(random_actions(HYBRID, jax.random.key(0), (2000,)))
    assert np.bincount(rows[:, 0].astype(int)).min() > 500
    assert np.bincount(rows[:, 1].astype(int)).min() > 800
    assert -1 <= rows[:, 2].min() < -0.9 < 0.9 < rows[:, 2].max() <= 1
    assert rows[:, 3].min() >= 0


def test_masks_are_by_part():
    product = product_of(HYBRID)
    assert product is not None
    masks = PartMasks(product)
    flat = [1, 0, 1, 0, 1]
    assert masks(flat).tolist() == masks([[1, 0, 1], [0, 1]]).tolist() == [1, 0, 1, 0, 1]
    assert masks([None, [0, 1]], (2,)).tolist() == [[1, 1, 1, 0, 1]] * 2
    rows = f32([[1, 0, 0.5, 0.0]])
    uniform = f32([[0.9, 0.1]])
    assert product.instead_of_masked(rows, uniform, np.array([flat], bool))[0, :2].tolist() == [
        2,
        1,
    ]
    with pytest.raises(EmbrlError, match=r"part 1 of the mask must be 2 flags, got .*3"):
        masks([[1, 0, 1], [0, 1, 1]])
    with pytest.raises(EmbrlError, match=r"\[5\].*got shape \[6\]"):
        masks(np.ones(6))
    with pytest.raises(EmbrlError, match="no value of part 1"):
        check_mask(HYBRID, [[1, 0, 1], [0, 0]])


def test_masks_have_the_structure_of_the_space():
    masks = SpaceMasks(Actions(NESTED))
    given = {"flags": [[1, 0]] * 4, "inner": ([0, 1, 1], None, None)}
    flags = masks(given)
    assert flags.tolist() == [1, 0] * 4 + [0, 1, 1] + [1] * 4
    with pytest.raises(EmbrlError, match=r"inner.*3.*got shape \[2\]"):
        masks({"flags": None, "inner": ([1, 1], None, None)})
