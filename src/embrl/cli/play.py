"""Command `embrl play`."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import Switch, parse

SHOWN = 5
"""Number of names of actions that are printed."""


@dataclasses.dataclass(frozen=True)
class _Play:
    """Play whole episodes with a run's policy, and film them.

    The episodes are the same ones each time; the return and length of each are printed.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder; its newest checkpoint is used."""
    seed: int = 0
    """Index of the seed whose policy is used."""
    episodes: int = 10
    """Number of episodes, 1 or more."""
    greedy: Switch = False
    """Take the most likely internal action instead of sampling one."""
    max_steps: int | None = None
    """Maximum number of steps of an episode. Default: evaluation.max_episode_steps of the run."""
    gif: Path | None = None
    """GIF file to film the episodes in, in real time and up to 300 frames: cart_pole,
    lidar_robot, and environments of Gymnasium with render mode rgb_array."""
    fps: float = 15.0
    """Maximum frames per second of the film, above 0 and at most 50."""
    width: int = 240
    """Maximum width of the film in pixels, from 16 to 2000."""
    actions: Switch = False
    """Print the actions of each episode, by their names where they have any."""


def play(arguments: Sequence[str]) -> None:
    """Print each episode, the means over all, and the path of the film."""
    given = parse(_Play, arguments, "embrl play")
    from embrl.core.runtime import prepare_jax
    from embrl.core.spaces import names_of
    from embrl.report import recording
    from embrl.report.film import FilmConfig
    from embrl.storage.run_folder import RunFolder
    from embrl.training.environment_record import EnvironmentRecord

    prepare_jax()
    film = None if given.gif is None else FilmConfig(given.gif, given.fps, given.width)
    names = EnvironmentRecord.read(RunFolder(given.run)).action_names
    returns, lengths = [], []
    chosen: Counter[str] = Counter()
    for episode in recording.play(
        given.run,
        seed=given.seed,
        episodes=given.episodes,
        greedy=given.greedy,
        max_steps=given.max_steps,
        film=film,
    ):
        returns.append(episode.total)
        lengths.append(episode.length)
        cut = ", cut" if episode.cut else ""
        steps = "1 step" if episode.length == 1 else f"{episode.length} steps"
        print(f"episode {len(returns)}: return {episode.total:.3f}, {steps}{cut}", flush=True)
        for line in episode.transcript or ():
            print(f"  {line}")
        if names is not None:
            chosen.update(names_of(names, episode.actions).tolist())
        if given.actions:
            actions = episode.actions if names is None else names_of(names, episode.actions)
            print(f"  {', '.join(map(str, actions.tolist()))}")
    count = len(returns)
    print(f"mean return {sum(returns) / count:.3f}, {sum(lengths) / count:.1f} steps, of {count}")
    if chosen:
        most = [f"{name} {100 * n / chosen.total():.0f} %" for name, n in chosen.most_common(SHOWN)]
        print(f"actions chosen most: {', '.join(most)} ({len(chosen)} different ones)")
    if given.gif is not None:
        print(f"{given.gif} ({given.gif.stat().st_size / 1e6:.1f} MB)")
