"""Figure 2: the right panels, the right colours, and nothing that is not so."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from embrl.core.errors import EmbrlError
from embrl.envs.environment import Environment
from embrl.envs.gridworld import Gridworld, GridworldConfig
from embrl.report import embedding_figure
from embrl.report.embedding_figure import colours, plane, plot_embedding
from embrl.report.environment_pictures import gridworld_picture, picture_of

ACTIONS = 16
STATES = 1600


class Shop(Environment):
    """Something without a picture."""

    @property
    def observation_space(self) -> gymnasium.Space:
        return gymnasium.spaces.Discrete(30)

    @property
    def action_space(self) -> gymnasium.Space:
        return gymnasium.spaces.Discrete(30)

    def reset(self, key: Any) -> Any: ...

    def step(self, key: Any, state: Any, action: Any) -> Any: ...


class Reels(Shop):
    """Something without a picture whose actions have effects."""

    def action_effects(self) -> Any:
        return np.stack(np.meshgrid(*[np.arange(5.0), np.arange(6.0)]), axis=-1).reshape(-1, 2)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keeps the figures that are drawn."""
    kept: list[Any] = []
    plain = embedding_figure.figure

    @contextlib.contextmanager
    def keeping(*args: Any) -> Iterator[Any]:
        with plain(*args) as made:
            yield made
        kept.append(made)

    monkeypatch.setattr(embedding_figure, "figure", keeping)
    return kept


@pytest.fixture(scope="module")
def gridworld() -> Gridworld:
    return GridworldConfig(actuators=4).build()


def embedding(m: int = 2, d: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"phi": rng.uniform(-1, 1, (STATES, m)), "g": rng.uniform(-1, 1, (ACTIONS, d))}


def headings(figure: Any) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def legend_of(axes: Any) -> list[str]:
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def dots(axes: Any) -> Any:
    """The coloured ones, which are drawn last."""
    return axes.collections[-1]


def test_four_panels_of_the_gridworld(
    tmp_path: Path, drawn: list[Any], gridworld: Gridworld
) -> None:
    path = tmp_path / "figures" / "embedding.png"
    plot_embedding(path, environment=gridworld, **embedding(), title="Gridworld")
    assert headings(drawn[0]) == [
        "(a) environment",
        "(b) state embedding",
        "(c) displacement by each action",
        "(d) action embedding",
    ]
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    # Two panels of 4.4 inches across and (4.4 + .25) down, and .25 for the title.
    assert struct.unpack(">II", header[16:]) == (1320, 1432)
    assert path.stat().st_size > 50_000


def test_dots_lie_where_the_embedding_puts_them(
    tmp_path: Path, drawn: list[Any], gridworld: Gridworld
) -> None:
    arrays = embedding()
    plot_embedding(tmp_path / "a.png", environment=gridworld, **arrays)
    _, states, effects, actions = drawn[0].axes
    reachable = gridworld_picture(gridworld).reachable
    np.testing.assert_array_equal(dots(states).get_offsets(), arrays["phi"][reachable])
    np.testing.assert_array_equal(dots(effects).get_offsets(), np.asarray(gridworld.motions))
    np.testing.assert_array_equal(dots(actions).get_offsets(), arrays["g"])
    assert states.get_xlabel() == "x₁"
    assert actions.get_ylabel() == "e₂"


def test_colours_say_place_and_displacement(
    tmp_path: Path, drawn: list[Any], gridworld: Gridworld
) -> None:
    plot_embedding(tmp_path / "a.png", environment=gridworld, **embedding())
    _, states, effects, actions = drawn[0].axes
    first, last = dots(states).get_facecolors()[[0, -1], :3]
    np.testing.assert_allclose(first, [0, 0, 0.5])  # the cell below on the left
    np.testing.assert_allclose(last, [1, 1, 0.5])  # above on the right
    of_actions = dots(actions).get_facecolors()[:, :3]
    np.testing.assert_array_equal(of_actions, dots(effects).get_facecolors()[:, :3])
    motions = np.asarray(gridworld.motions)
    rightmost, highest = motions[:, 0].argmax(), motions[:, 1].argmax()
    assert of_actions[rightmost, 0] == 1
    assert of_actions[highest, 1] == 1
    assert (of_actions[:, 2] == 0.5).all()


def test_states_that_were_not_trained_are_grey(
    tmp_path: Path, drawn: list[Any], gridworld: Gridworld
) -> None:
    arrays = embedding()
    visited = np.ones(STATES, bool)
    visited[:7] = False
    plot_embedding(tmp_path / "a.png", environment=gridworld, **arrays, visited=visited)
    states = drawn[0].axes[1]
    assert set(legend_of(states)) == {"never visited (7)", "unreachable (35)", "neighbours"}
    assert len(dots(states).get_offsets()) == STATES - 7 - 35
    grey, crosses, _ = states.collections
    np.testing.assert_array_equal(grey.get_offsets(), arrays["phi"][:7])
    assert len(crosses.get_offsets()) == 35
    for collection in (grey, crosses):
        red, green, blue = collection.get_facecolors()[0, :3]
        assert red == green == blue


def test_neighbours_are_joined_but_not_through_walls(
    tmp_path: Path, drawn: list[Any], gridworld: Gridworld
) -> None:
    picture = gridworld_picture(gridworld)
    plot_embedding(
        tmp_path / "a.png", environment=gridworld, phi=picture.positions, g=embedding()["g"]
    )
    (mesh,) = (line for line in drawn[0].axes[1].lines if line.get_label() == "neighbours")
    start, end, gap = mesh.get_xydata().reshape(-1, 3, 2).transpose(1, 0, 2)
    assert np.isnan(gap).all()
    np.testing.assert_allclose(np.abs(end - start).sum(axis=1), 1 / 40, rtol=1e-5)
    # Of the 2 * 40 * 39 pairs, these touch the L: along its lying arm 21 side by side and 2 * 20
    # one above the other, along its standing one 2 * 14 and 16.
    assert len(start) == 2 * 40 * 39 - (21 + 2 * 20 + 2 * 14 + 16)
    through = (np.minimum(start, end)[:, 1] < 0.375) & (np.maximum(start, end)[:, 1] > 0.4)
    assert not (through & (start[:, 0] < 0.5)).any()


def test_more_dimensions_are_projected(
    tmp_path: Path, drawn: list[Any], gridworld: Gridworld
) -> None:
    plot_embedding(tmp_path / "a.png", environment=gridworld, **embedding(m=8, d=3))
    states, actions = drawn[0].axes[1], drawn[0].axes[3]
    assert "principal component 1 of x (1" in states.get_xlabel()  # of 8 equal shares: 13 %
    assert "% of variance" in states.get_ylabel()
    assert "principal component 2 of e" in actions.get_ylabel()


def test_environment_is_drawn(tmp_path: Path, drawn: list[Any], gridworld: Gridworld) -> None:
    plot_embedding(tmp_path / "a.png", environment=gridworld, **embedding())
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.texts] == ["start", "goal"]
    boxes = [patch.get_xy() for patch in axes.patches]
    corners = [(*box.min(axis=0), *box.max(axis=0)) for box in boxes]
    expected = [(0.0, 0.375, 0.5, 0.4), (0.5, 0.375, 0.525, 0.75), (0.125, 0.625, 0.175, 0.675)]
    np.testing.assert_allclose(corners, expected, rtol=1e-6)
    start = axes.collections[-1]
    np.testing.assert_allclose(start.get_offsets(), [[0.3, 0.1]], rtol=1e-6)
    assert to_rgb(start.get_facecolors()[0]) == to_rgb("#E00000")
    assert axes.get_xlim() == axes.get_ylim() == (0, 1)


def test_no_picture_and_no_effects_leave_two_panels(tmp_path: Path, drawn: list[Any]) -> None:
    rng = np.random.default_rng(0)
    visited = np.arange(30) < 20
    plot_embedding(
        tmp_path / "a.png",
        environment=Shop(),
        phi=rng.normal(size=(40, 5))[:30],
        g=rng.normal(size=(30, 1)),
        visited=visited,
    )
    assert headings(drawn[0]) == ["(a) state embedding", "(b) action embedding"]
    assert legend_of(drawn[0].axes[0]) == ["never visited (10)"]
    offsets = dots(drawn[0].axes[1]).get_offsets()
    np.testing.assert_array_equal(offsets[:, 1], 0)  # one dimension is drawn along a line


def test_effects_without_a_picture_leave_three_panels(tmp_path: Path, drawn: list[Any]) -> None:
    rng = np.random.default_rng(0)
    plot_embedding(
        tmp_path / "a.png",
        environment=Reels(),
        phi=rng.normal(size=(9, 2)),
        g=rng.normal(size=(30, 2)),
    )
    assert headings(drawn[0]) == [
        "(a) state embedding",
        "(b) effect of each action",
        "(c) action embedding",
    ]
    assert legend_of(drawn[0].axes[0]) == []


def test_no_state_visited_is_drawn_all_the_same(tmp_path: Path, gridworld: Gridworld) -> None:
    plot_embedding(
        tmp_path / "a.png", environment=gridworld, **embedding(m=4), visited=np.zeros(STATES, bool)
    )
    assert (tmp_path / "a.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"phi": np.zeros((10, 2))}, "phi .* 1600 states, got 10"),
        ({"g": np.zeros((10, 2))}, "g .* 16 actions, got 10"),
        ({"phi": np.zeros(STATES)}, r"phi .* got shape \(1600,\)"),
        ({"g": np.full((ACTIONS, 2), np.nan)}, "g must be finite, .* 16 of 16 rows"),
        ({"visited": np.ones(3, bool)}, r"visited .* \(1600,\) .* got \(3,\)"),
    ],
)
def test_arrays_that_do_not_fit(
    tmp_path: Path, gridworld: Gridworld, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(EmbrlError, match=said) as error:
        plot_embedding(tmp_path / "a.png", environment=gridworld, **(embedding() | change))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a.png").exists()


def test_cells_in_obstacles_are_out_of_reach() -> None:
    # One obstacle covers cells 0 and 1 of the 4 x 4 wholly and half of cell 2, which can be
    # entered from the right.
    config = GridworldConfig(
        actuators=2,
        bins=4,
        obstacles=((0.0, 0.0, 0.625, 0.25),),
        start=(0.9, 0.9),
        goal=(0, 0.5, 0.1, 0.6),
    )
    picture = picture_of(config.build())
    assert picture is not None
    assert np.flatnonzero(~picture.reachable).tolist() == [0, 1]
    assert picture_of(Shop()) is None


def test_a_world_without_obstacles_is_all_within_reach() -> None:
    picture = gridworld_picture(GridworldConfig(actuators=2, obstacles=()).build())
    assert picture.reachable.all()


def test_positions_are_what_the_environment_observes(gridworld: Gridworld) -> None:
    positions = gridworld_picture(gridworld).positions
    cells = [int(gridworld.observe(positions[cell])) for cell in (0, 1, 39, 40, 777, 1599)]
    assert cells == [0, 1, 39, 40, 777, 1599]


def test_projection_finds_a_tilted_plane() -> None:
    rng = np.random.default_rng(1)
    flat = rng.normal(size=(200, 2)) * [3.0, 1.0]
    basis, _ = np.linalg.qr(rng.normal(size=(6, 2)))
    drawn = plane(flat @ basis.T + 5.0, "x")
    # Distances stay, as nothing lies outside the plane.
    before = np.linalg.norm(flat[:, None] - flat, axis=-1)
    after = np.linalg.norm(drawn.points[:, None] - drawn.points, axis=-1)
    np.testing.assert_allclose(after, before, atol=1e-9)
    shares = [int(name.split("(")[1].split(" %")[0]) for name in drawn.names]
    sizes = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False) ** 2
    assert shares == [round(share) for share in 100 * sizes / sizes.sum()]


def test_projection_is_of_the_states_that_are_shown() -> None:
    rng = np.random.default_rng(2)
    shown = np.arange(100) < 50
    values = rng.normal(size=(100, 4)) * np.where(shown[:, None], [5, 3, 0, 0], [0, 0, 90, 90])
    points = plane(values, "x", shown).points
    np.testing.assert_allclose(points[~shown], points[~shown][:1].repeat(50, axis=0), atol=1e-9)
    assert points[shown].std(axis=0).min() > 1


def test_projection_does_not_depend_on_signs() -> None:
    values = np.random.default_rng(3).normal(size=(50, 5))
    values -= values.mean(axis=0)
    np.testing.assert_allclose(
        plane(values, "x").points, plane(values[::-1], "x").points[::-1], atol=1e-9
    )


def test_projection_of_points_that_do_not_differ() -> None:
    for count in (1, 2, 5):
        drawn = plane(np.ones((count, 4)), "x")
        np.testing.assert_array_equal(drawn.points, np.zeros((count, 2)))
        assert "(0 % of variance)" in drawn.names[0]


def test_colours_span_their_range() -> None:
    points = np.array([[-2.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    np.testing.assert_allclose(colours(points), [[0, 0, 0.5], [1, 0, 0.5], [0.5, 1, 0.5]])
    np.testing.assert_allclose(colours(np.ones((2, 2))), [[0, 0, 0.5]] * 2)
