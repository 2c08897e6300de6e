"""`embrl play RUN`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import finish_help, parse

USAGE = """\
usage: embrl play RUN [--seed K] [--episodes N] [--greedy] [--steps N]
                      [--gif FILE [--fps F] [--width W]]

Plays whole episodes with a trained policy, the same ones each time, and prints what came of each.

  RUN             a run folder; its newest checkpoint is played
  --seed K        the seed whose policy plays (default: 0)
  --episodes N    how many (default: 10)
  --greedy        always the likeliest internal action, instead of a draw
  --steps N       an episode is cut there (default: played to its end)
  --gif FILE      films it, in real time, until there are 300 frames: Gymnasium's environments that
                  draw themselves, and cart_pole
  --fps F         frames a second, at most (default: 15)
  --width W       pixels, at most (default: 240)"""


@dataclasses.dataclass(frozen=True)
class _Play:
    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    seed: int = 0
    """The seed whose policy plays."""
    episodes: int = 10
    """How many."""
    greedy: tyro.conf.FlagCreatePairsOff[bool] = False
    """Always the likeliest internal action."""
    steps: int | None = None
    """An episode is cut there."""
    gif: Path | None = None
    """The film."""
    fps: float = 15.0
    """Frames a second."""
    width: int = 240
    """Pixels."""


def play(arguments: Sequence[str]) -> None:
    """Prints episode by episode, then their mean, then where the film lies."""
    finish_help(arguments, USAGE)
    given = parse(_Play, arguments, "embrl play")
    from embrl.core.runtime import prepare_jax
    from embrl.experiments import playing
    from embrl.report.film import FilmConfig

    prepare_jax()
    film = None if given.gif is None else FilmConfig(given.gif, given.fps, given.width)
    returns, lengths = [], []
    for episode in playing.play(
        given.run,
        seed=given.seed,
        episodes=given.episodes,
        greedy=given.greedy,
        steps=given.steps,
        film=film,
    ):
        returns.append(episode.total)
        lengths.append(episode.length)
        cut = ", cut" if episode.cut else ""
        steps = "1 step" if episode.length == 1 else f"{episode.length} steps"
        print(f"episode {len(returns)}: return {episode.total:.3f}, {steps}{cut}", flush=True)
    count = len(returns)
    print(f"mean return {sum(returns) / count:.3f}, {sum(lengths) / count:.1f} steps, of {count}")
    if given.gif is not None:
        print(f"{given.gif} ({given.gif.stat().st_size / 1e6:.1f} MB)")
