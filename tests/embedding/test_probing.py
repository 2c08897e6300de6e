"""What can be read off embeddings that were laid out by hand."""

import numpy as np
import pytest
from gymnasium import spaces

from embrl.embedding.probing import LOST, MIN_STATES, probe

SPACE = spaces.MultiDiscrete([6, 5, 7])
RANDOM = np.random.default_rng(0)
STATES = np.stack(np.meshgrid(*map(np.arange, SPACE.nvec)), axis=-1).reshape(-1, 3)
TABLES = [RANDOM.normal(size=(n, 8)) for n in SPACE.nvec]


def summed(*which: int):
    """phi as it is for several factors, of some of them."""

    def encode(states: np.ndarray) -> np.ndarray:
        return np.tanh(0.3 * sum(TABLES[at][states[:, at]] for at in which))

    return encode


def test_all_factors_of_a_sum_are_recovered() -> None:
    found = probe(summed(0, 1, 2), SPACE, STATES)
    assert list(found) == ["factor 0", "factor 1", "factor 2"]
    assert min(found.values()) > 0.7


@pytest.mark.parametrize("blind", [0, 1, 2])
def test_a_factor_that_phi_does_not_look_at_is_lost(blind: int) -> None:
    found = probe(summed(*{0, 1, 2} - {blind}), SPACE, STATES)
    assert found.pop(f"factor {blind}") < LOST / 2
    assert min(found.values()) > 0.7


def test_where_all_states_coincide_everything_is_lost() -> None:
    found = probe(lambda states: np.zeros((len(states), 4)), SPACE, STATES)
    assert max(found.values()) < LOST


def test_values_that_were_hardly_met_say_nothing() -> None:
    rare = np.concatenate([STATES[STATES[:, 0] == 0], STATES[STATES[:, 0] == 1][: MIN_STATES - 1]])
    assert "factor 0" not in probe(summed(0, 1, 2), SPACE, rare)


def test_numbers_are_recovered_linearly_or_by_neighbours() -> None:
    points = RANDOM.uniform(-1, 1, (1500, 3)).astype(np.float32)
    box = spaces.Box(-1.0, 1.0, (3,))
    found = probe(
        # A fold: neighbours still know; a small part of a wide space: a line still knows.
        lambda states: np.column_stack([np.abs(states[:, 0]), states[:, 1], 0.01 * states[:, 2]]),
        box,
        points,
        np.column_stack([points[:, 0] ** 2, np.ones(1500)]),
        ("square", "constant"),
    )
    assert list(found) == ["dimension 0", "dimension 1", "dimension 2", "square"]
    assert found["dimension 0"] < 0.1
    assert min(found["dimension 1"], found["dimension 2"], found["square"]) > 0.98


def test_coordinates_without_names_are_counted() -> None:
    cells = np.arange(100)
    both = np.stack([cells % 10, cells // 10], axis=1)
    found = probe(lambda s: s[:, None] / 100.0, spaces.Discrete(100), cells, both)
    assert list(found) == ["coordinate 0", "coordinate 1"]
    assert found["coordinate 1"] > 0.95


def test_too_few_states_to_tell() -> None:
    cells = np.arange(8)
    assert probe(lambda s: s[:, None] * 1.0, spaces.Discrete(8), cells, cells[:, None]) == {}


@pytest.mark.parametrize(("size", "known"), [(1e-4, False), (0.1, True)])
def test_differences_that_no_policy_would_see_do_not_count(size: float, known: bool) -> None:
    points = RANDOM.uniform(-1, 1, (1500, 2)).astype(np.float32)
    scale = np.array([1.0, size], np.float32)
    found = probe(lambda states: states * scale, spaces.Box(-1.0, 1.0, (2,)), points)
    assert (found["dimension 1"] > LOST) is known
    assert found["dimension 0"] > 0.98
