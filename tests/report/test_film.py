"""Films: which steps they show, how large, how long; and what there is no film of."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from embrl.core.errors import EmbrlError
from embrl.report import film
from embrl.report.film import DEFAULT_RATE, Film, FilmConfig


def frames(path):
    """Mean grey and milliseconds of each frame."""
    with Image.open(path) as image:
        for at in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(at)
            yield np.asarray(image.convert("RGB")).mean(), image.info["duration"], image.size


def test_a_film_is_in_real_time_and_leaves_steps_out(tmp_path):
    made = Film("it", FilmConfig(tmp_path / "new" / "it.gif", fps=10, width=20), rate=40)
    for step in range(12):
        made.look(lambda step=step: np.full((60, 80, 3), 10 * step, np.uint8))
    assert made.every == 4
    assert made.seconds == pytest.approx(0.3)
    found = list(frames(made.write()))
    assert [grey for grey, _, _ in found] == pytest.approx([0, 40, 80], abs=3)
    assert [duration for _, duration, _ in found] == [100, 100, 1000]
    assert found[0][2] == (20, 15)


def test_small_pictures_are_not_blown_up(tmp_path):
    made = Film("it", FilmConfig(tmp_path / "it.gif", width=100))
    made.look(lambda: np.zeros((6, 8, 3), np.uint8))
    assert next(frames(made.write()))[2] == (8, 6)


def test_a_film_ends_and_nothing_is_drawn_from_there_on(tmp_path, monkeypatch):
    monkeypatch.setattr(film, "MAX_FRAMES", 3)
    made, drawn = Film("it", FilmConfig(tmp_path / "it.gif"), rate=15), []
    for step in range(10):
        made.look(lambda step=step: drawn.append(step) or np.zeros((2, 2, 3), np.uint8))
    assert drawn == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": Path("it.mp4")}, "gif must be .* got it.mp4"),
        ({"fps": 0.0}, "fps must be above 0 and at most 50, got 0.0"),
        ({"fps": 60.0}, "fps .* got 60.0"),
        ({"width": 8}, "width must be from 16 to 2000 pixels, got 8"),
    ],
)
def test_what_cannot_be_made_is_refused(values, message):
    with pytest.raises(EmbrlError, match=message):
        FilmConfig(**{"path": Path("it.gif"), **values})


def fails():
    raise OSError("no screen\nat all")


@pytest.mark.parametrize(
    ("render", "message"),
    [
        (fails, "it cannot be drawn: OSError: no screen at all"),
        (lambda: sys.exit(0), "it cannot be drawn: SystemExit: 0"),
        (lambda: None, "it cannot be drawn: .* got object"),
        (lambda: np.zeros((0, 2, 3), np.uint8), r"got uint8\[0, 2, 3\]"),
        (lambda: np.zeros((2, 2), np.uint8), r"uint8\[height, width, 3\], got uint8\[2, 2\]"),
    ],
)
def test_what_gives_no_picture_is_named(tmp_path, render, message):
    with pytest.raises(EmbrlError, match=message):
        Film("it", FilmConfig(tmp_path / "it.gif")).look(render)


@pytest.mark.parametrize("rate", [None, 0, -1.0, np.inf, np.nan, "30", [30], 10**400, np.ones(2)])
def test_a_rate_that_is_none_is_the_usual_one(tmp_path, rate):
    assert Film("it", FilmConfig(tmp_path / "it.gif"), rate).rate == DEFAULT_RATE


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    made = Film("it", FilmConfig(tmp_path / "file" / "it.gif"))
    made.look(lambda: np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(EmbrlError, match=r"/file cannot be written: "):
        made.write()


# MuJoCo


@pytest.fixture
def machine(monkeypatch):
    """A Linux machine with MuJoCo in use, whose ways to draw work as the test says."""

    def of(works, **variables):
        asked = []

        def run(_, env, **options):
            asked.append(env["MUJOCO_GL"])
            ok = env["MUJOCO_GL"] in works
            said = "Traceback\n ImportError: no library\nException ignored"
            return SimpleNamespace(returncode=0 if ok else 1, stderr="" if ok else said)

        monkeypatch.setattr(subprocess, "run", run)
        monkeypatch.setattr(film.platform, "system", lambda: "Linux")
        monkeypatch.setitem(sys.modules, "mujoco", SimpleNamespace())
        for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        # Also what is set here is to be undone.
        monkeypatch.setattr(film.os, "environ", {**film.os.environ, **variables})
        film._fault.cache_clear()
        return asked

    yield of
    film._fault.cache_clear()


@pytest.mark.parametrize(
    ("works", "screen", "tried"),
    [
        (["egl"], False, ["egl"]),
        (["osmesa"], False, ["egl", "osmesa"]),
        (["glfw", "osmesa"], True, ["egl", "glfw"]),
    ],
)
def test_the_first_way_that_works_is_chosen(machine, works, screen, tried):
    asked = machine(works, **({"DISPLAY": ":0"} if screen else {}))
    film.prepare_mujoco()
    assert asked == tried
    assert film.os.environ["MUJOCO_GL"] == tried[-1]


def test_what_somebody_chose_is_not_overruled(machine):
    asked = machine(["egl", "osmesa"], MUJOCO_GL="osmesa")
    film.prepare_mujoco()
    assert asked == ["osmesa"]
    machine(["egl"], MUJOCO_GL="osmesa")
    with pytest.raises(EmbrlError, match=r"\(MUJOCO_GL=osmesa: ImportError: no library\); unset"):
        film.prepare_mujoco()


def test_a_machine_that_cannot_draw_says_what_to_do(machine):
    machine([])
    with pytest.raises(
        EmbrlError, match=r"install EGL or OSMesa .* set MUJOCO_GL=egl or"
    ) as raised:
        film.prepare_mujoco()
    assert "MUJOCO_GL" not in film.os.environ
    assert "\n" not in str(raised.value)


def test_where_mujoco_is_not_in_use_nothing_is_tried(machine, monkeypatch):
    asked = machine(["egl"])
    monkeypatch.delitem(sys.modules, "mujoco")
    film.prepare_mujoco()
    assert asked == []
