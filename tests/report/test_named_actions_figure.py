"""Names of actions at their points."""

import numpy as np

from embrl.report.drawing import apart
from embrl.report.named_actions_figure import plot_named_actions, shortened


def test_names_overlap_none_before_them_and_stay_inside():
    boxes = np.array(
        [
            [0.0, 0.0, 4.0, 1.0],
            [3.0, 0.5, 6.0, 2.0],  # over the first
            [4.0, 0.0, 6.0, 1.0],  # touches it
            [8.0, 0.0, 11.0, 1.0],  # leaves the panel
            [3.5, 1.0, 5.0, 2.0],  # above both
        ]
    )
    assert apart(boxes, [0, 0, 10, 10]) == [0, 2, 4]


def test_a_long_name_is_cut():
    assert shortened("two\nlines") == "two lines"
    assert shortened("seven of nine", 6) == "seven…"


def test_a_figure_is_written(tmp_path):
    g = np.random.default_rng(0).normal(size=(40, 3))
    path = tmp_path / "actions.png"
    plot_named_actions(path, g=g, names=[f"reply ${at}" for at in range(40)], title="replies")
    assert path.stat().st_size > 10_000
