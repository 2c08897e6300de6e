"""Pictures of agents: what stands in them, read back from matplotlib."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from embrl.agents import figures
from embrl.agents.figures import WalkCurve
from embrl.agents.walks import COEFFICIENTS
from embrl.envs.cart_pole import CartPoleConfig
from embrl.report import cart_animation
from embrl.report.cart_animation import AnimatedAgent, animate
from embrl.report.drawing import blank


@pytest.fixture
def kept(monkeypatch):
    """The last figure that was drawn, after it was drawn."""
    drawn_figures = []

    @contextlib.contextmanager
    def figure(path, width, height):
        with blank(width, height, dpi=50) as drawn:
            yield drawn
            drawn.savefig(io.BytesIO(), format="png")
            drawn_figures.append(drawn)

    monkeypatch.setattr(figures, "figure", figure)
    return drawn_figures


def texts(drawn) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in drawn.findobj(Text))


def test_walks(kept):
    rng = np.random.default_rng(0)
    curves = [
        WalkCurve(name, pattern, np.array(COEFFICIENTS), rng.uniform(0, 500, (13, 6)))
        for name, pattern in (("decoded agents", "hill"), ("matched", "valley"), ("raw", "slope"))
    ]
    figures.plot_walk(
        "no.png", "From 3 to 7", [("latent space", curves[:1]), ("weight space", curves[1:])],
        [("agent 3", 44.0), ("agent 7", 471.0)], "survival (steps)", 500.0,
    )  # fmt: skip
    said = texts(kept[-1])
    for words in ("latent space: hill", "weight space: valley, slope", "matched: valley",
                  "A: agent 3", "B: agent 7", "survival (steps)", "the limit"):  # fmt: skip
        assert words in said
    left, right = kept[-1].axes
    assert left.get_ylim() == right.get_ylim()
    shown = next(line for line in left.lines if line.get_label() == "decoded agents: hill")
    np.testing.assert_allclose(shown.get_ydata(), curves[0].returns.mean(1))
    assert max(left.get_yticks()) <= 500


def test_histograms_are_shares_and_have_means(kept):
    rows = [
        ("below 50", {"training": np.array([10.0, 20.0]), "generated": np.array([30.0] * 4)}),
        ("475 and more", {"training": np.array([500.0, 490.0])}),
    ]
    figures.plot_survival("no.png", "title", rows, "survival (steps)")
    said = texts(kept[-1])
    for words in ("training", "generated", "mean 15", "mean 30", "mean 495", "4 agents",
                  "no such agents", "below 50", "475 and more"):  # fmt: skip
        assert words in said
    from matplotlib.patches import StepPatch

    steps = [axes.findobj(StepPatch) for axes in kept[-1].axes]
    assert [len(found) for found in steps] == [1, 1, 1, 0]
    assert all(found[0].get_data().values.sum() == pytest.approx(1) for found in steps[:3])


def test_bars_add_up(kept):
    counts = {
        "all": {"slope": 6, "valley": 1, "hill": 0, "none": 3},
        "below 50": {"slope": 0, "valley": 0, "hill": 2, "none": 0},
    }
    figures.plot_patterns("no.png", "title", [("latent", counts), ("weights", counts)])
    left = kept[-1].axes[0]
    widths = [bar.get_width() for bar in left.patches]
    assert widths[:4] == pytest.approx([0.6, 0.1, 0.0, 0.3])
    assert widths[4:] == pytest.approx([0, 0, 1, 0])
    said = texts(kept[-1])
    assert "all  (10)" in said
    assert "below 50  (2)" in said
    assert "60" in said


def test_the_plane_has_every_generator(kept):
    def point(generator, setting, at):
        interval = {"mean": 100.0 + at, "low": 90.0, "high": None}
        return {"generator": generator, "setting": setting, "weights": at, "decisions": at / 9,
                "survival": interval}  # fmt: skip

    points = [point("noise", s, s) for s in (0.1, 0.5)]
    points += [point("average", None, 0.3), point("held_out", None, 0.4)]
    points += [point("embedding", s, 2 * s) for s in (0.5, 1.0)]
    figures.plot_novelty("no.png", "t", [("mine", {"points": points})], "survival (steps)")
    said = texts(kept[-1])
    for words in ("training agents + noise", "averages of two", "mine: generated", "held-out",
                  "novelty in weights", "novelty in behaviour", "0.5"):  # fmt: skip
        assert words in said
    assert "mine: reconstructed" not in said  # there is none


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_map_has_every_agent_the_best_on_top(kept, k):
    rng = np.random.default_rng(k)
    z, score = rng.normal(size=(30, k)).astype(np.float32), rng.uniform(0, 500, 30)
    names = figures.plot_map("no.png", "title", z, score, "survival (steps)")
    dots = kept[-1].axes[0].collections[0]
    np.testing.assert_array_equal(dots.get_array(), np.sort(score))
    assert len(dots.get_offsets()) == 30
    assert ("% of variance" in names[0]) == (k > 2)
    assert "30 agents" in texts(kept[-1])


def test_an_animation_is_in_real_time_and_ends_with_the_last(tmp_path):
    config = CartPoleConfig(step_limit=100)
    still = np.zeros((101, 4))
    actors = [
        AnimatedAgent("A", still, 100),
        AnimatedAgent("B", still, 21),
        AnimatedAgent("C", still, 40),
    ]
    path = tmp_path / "new" / "walk.gif"
    animate(path, "title", actors, config)
    with Image.open(path) as image:
        frames, durations = [], []
        for at in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(at)
            durations.append(image.info["duration"])
            frames.append(np.asarray(image.convert("RGB")).astype(int))
    # Frames that are alike are one, for as long as all of them.
    assert sum(durations) == 1000 * 100 * config.tau + 1000
    assert path.stat().st_size < 200_000
    # Of the panels, the middle one is grey at the end, the first is as it was.
    thirds = np.array_split(frames[-1], 3, axis=1)
    colourful = [(np.ptp(third, axis=-1) > 60).any() for third in thirds]
    assert colourful == [True, False, False]
    assert all((np.ptp(t, axis=-1) > 60).any() for t in np.array_split(frames[0], 3, axis=1))


def test_an_animation_needs_matplotlib(monkeypatch, tmp_path):
    from embrl.core.errors import EmbrlError

    def missing(module, extra):
        raise EmbrlError(f"this needs {module}: pip install 'embrl[{extra}]'")

    monkeypatch.setattr(cart_animation, "require", missing)
    with pytest.raises(EmbrlError, match=r"pip install 'embrl\[plot\]'"):
        animate(
            tmp_path / "walk.gif", "t", [AnimatedAgent("A", np.zeros((2, 4)), 1)], CartPoleConfig()
        )
