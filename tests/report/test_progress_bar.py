"""Progress on a terminal, in a notebook and in a log, as each of them receives it."""

import io
import os
import pty
import re
import subprocess
import sys
import types

import pytest
from rich.console import Console

from embrl.report import progress_bar
from embrl.report.progress_bar import ProgressBar, duration, showing_progress
from embrl.training.loop import Progress


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 1000.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress_bar, "time", clock)
    return clock


def log(of="jsae on gridworld"):
    file = io.StringIO()
    return file, ProgressBar(Console(file=file, width=40), of)


def run(bar, clock, steps, seconds, stage="training"):
    for step in range(1, steps + 1):
        clock.now += seconds / steps
        bar.show(Progress(stage, step * 100, steps * 100, step / steps))


def test_a_line_of_a_log_has_percent_return_and_time_left(clock):
    file, bar = log()
    with bar:
        bar.show(Progress("training", 100, 1000, 0.25))
        clock.now += 60
        bar.show(Progress("training", 250, 1000, 0.5))
    assert file.getvalue().splitlines() == [
        "jsae on gridworld: training 10 %, 100/1,000, return 0.250",
        # 150 steps took 60 s, and 750 remain.
        "jsae on gridworld: training 25 %, 250/1,000, return 0.500, 5 min left",
    ]


@pytest.mark.parametrize(
    ("steps", "hours", "fewest", "most"),
    [(10_000, 10, 90, 102), (10_000, 0.02, 7, 9), (500, 300, 400, 502), (3, 1, 3, 3)],
)
def test_a_log_has_a_line_now_and_then_however_long_the_run(clock, steps, hours, fewest, most):
    file, bar = log()
    with bar:
        run(bar, clock, steps, hours * 3600)
    lines = file.getvalue().splitlines()
    assert fewest <= len(lines) <= most
    assert "100 %" in lines[-1]
    assert len({line.partition(" left")[0] for line in lines}) == len(lines)


def test_hundreds_of_short_runs_do_not_fill_a_log(clock):
    file, bar = log()
    with bar:
        for number in range(300):
            show = bar.begin(f"run {number + 1} of 300")
            for done in (100, 200, 300):
                clock.now += 0.5
                show(Progress("training", done, 300, 0.0))
    lines = file.getvalue().splitlines()
    assert 40 <= len(lines) <= 46  # 450 s, and a line in 10 s
    assert "run 1 of 300, training" in lines[0]


def test_messages_are_said_at_once_and_whole(clock):
    file, bar = log()
    with bar:
        bar.show(Progress("training", 1, 1000, 0.0))
        bar.show(Progress("training", 2, 1000, 0.0, ("warning [seed 0] is " + "long " * 20,)))
    assert file.getvalue().splitlines()[1].startswith("jsae on gridworld: warning [seed 0] is long")
    assert len(file.getvalue().splitlines()) == 2


def test_a_stage_that_was_resumed_is_timed_from_where_it_continued(clock):
    file, bar = log()
    with bar:
        bar.show(Progress("training", 900, 1000, 0.0))
        clock.now += 20
        bar.show(Progress("training", 950, 1000, 0.0))
    assert file.getvalue().splitlines()[1].endswith("20 s left")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (99, "99 s"), (100, "2 min"), (5_940, "99 min"), (7_500, "2 h 5 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


SCRIPT = """
import time
from rich.console import Console
from embrl.report.progress_bar import ProgressBar
from embrl.training.loop import Progress
with ProgressBar(Console(), "jsae on gridworld") as bar:
    for done in (100, 200, 400):
        bar.show(Progress("training", done, 400, done / 400))
        if hasattr(bar.display, "bar"):
            bar.display.bar.refresh()  # it is drawn ten times a second, or not on a busy machine
        time.sleep(0.01)
print("after")
"""


def on_terminal(columns, **variables):
    """What a script writes to a terminal of so many columns."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", **variables}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=follower, stdin=follower, env=environment
    )
    os.close(follower)
    said = b""
    try:
        while data := os.read(leader, 65536):
            said += data
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(leader)
    assert process.wait() == 0
    return said.decode()


@pytest.mark.parametrize("columns", [60, pytest.param(120, marks=pytest.mark.slow)])
def test_a_terminal_has_a_bar_that_is_drawn_in_place(columns):
    said = on_terminal(columns)
    assert "\x1b[2K" in said  # lines are cleared, and drawn again
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    lines = [line for line in re.split(r"[\r\n]+", plain) if line.strip()]
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith("starting")
    assert re.search(r"training [━╸╺]+ +50 % .*return 0.500 .* \d+ s left", plain)
    *_, last, after = lines
    assert re.fullmatch(r"training ━+ 100 % (400/400 )?return 1.000 \d:\d\d:\d\d *", last)
    assert ("400/400" in last) == (columns == 120)
    assert after == "after"


@pytest.mark.slow
def test_a_terminal_without_cursor_has_lines():
    said = on_terminal(80, TERM="dumb")
    assert "\x1b" not in said
    assert "training 100 %, 400/400, return 1.000" in said


def test_a_pipe_has_no_control_characters_even_if_colours_are_forced():
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == (
        "jsae on gridworld: training 25 %, 100/400, return 0.250\n"
        "jsae on gridworld: training 100 %, 400/400, return 1.000\n"
        "after\n"
    )


def test_a_stage_on_a_terminal_began_when_the_one_before_ended():
    console = Console(file=io.StringIO(), force_terminal=True)
    console.file.isatty = lambda: True  # type: ignore[method-assign]
    clock = Clock()
    with ProgressBar(console, "jsae on gridworld") as bar:
        display = bar.display
        assert isinstance(display, progress_bar._TerminalBar)
        display.bar.get_time = clock.perf_counter
        display.since = clock.now
        clock.now += 5
        bar.show(Progress("pre-training", 100, 200, 1.0))
        clock.now += 1
        bar.show(Progress("pre-training", 200, 200, 1.0))
        clock.now += 7
        bar.show(Progress("training", 100, 200, 1.0))
        assert [task.finished_time or task.elapsed for task in display.bar.tasks] == [6.0, 7.0]


class Cell:
    """Output of a notebook's cell: what `IPython.display` has put there and replaced."""

    def __init__(self):
        self.shown, self.changes = [], 0

    def display(self, data, *, raw, display_id):
        assert raw
        assert display_id
        at = len(self.shown)
        self.shown.append(data["text/plain"])

        def update(data, *, raw):
            assert raw
            self.shown[at] = data["text/plain"]
            self.changes += 1

        return types.SimpleNamespace(update=update)


def test_a_notebook_has_one_line_for_each_stage(clock, monkeypatch):
    cell = Cell()
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=cell.display))
    console = Console(file=io.StringIO(), force_jupyter=True)
    with ProgressBar(console, "jsae on gridworld") as bar:
        run(bar, clock, 4, 4.0, "pre-training")
        run(bar, clock, 1000, 10.0)
    first, second = cell.shown
    assert first.startswith("jsae on gridworld: pre-training ████████████████████████ 100 %, 400/")
    assert "100,000/100,000, return 1.000" in second
    assert cell.changes <= 3 + 50 + 1  # a thousand changes would slow the browser down


def test_python_shows_progress_only_where_it_is_asked_to_and_calls_back_too(clock, capfd):
    for show in (False, True):
        seen = []
        with showing_progress("jsae on gridworld", seen.append, show=show) as on_progress:
            on_progress(Progress("training", 100, 100, 1.0))
        assert [step.done for step in seen] == [100]
        said = capfd.readouterr()
        assert said.out == ""
        assert ("training 100 %" in said.err) == show
