"""Episodes played with a run's policy, with an optional film of them."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from embrl.config.run import RunConfig, load_config
from embrl.core.errors import EmbrlError, require
from embrl.core.images import is_image
from embrl.envs import Environment
from embrl.envs.cart_pole import CartPole, CartPoleConfig
from embrl.report.cart_animation import AnimatedAgent, animate
from embrl.report.film import Film, FilmConfig, prepare_mujoco
from embrl.report.seen_images import enlarged, in_colours
from embrl.storage.run_folder import RunFolder
from embrl.training.backend import AnyEnvironment
from embrl.training.environment_record import environment_of
from embrl.training.episodes import Episode, play_episodes
from embrl.training.restore import check_seed, restore_policy
from embrl.training.rng_streams import RngStream, stream_key

MAX_PANELS = 4
"""Maximum number of episodes side by side in a film of cart_pole."""
SEEN_RATE = 10.0
"""Steps per second in films of what an agent sees, where the environment does not draw itself."""


def play(
    run: str | Path,
    *,
    seed: int = 0,
    episodes: int = 10,
    greedy: bool = False,
    max_steps: int | None = None,
    film: FilmConfig | None = None,
    env: "AnyEnvironment | None" = None,
) -> Iterator[Episode]:
    """Play episodes with the policy of one seed, each when it is asked for.

    The same arguments give the same episodes.

    Args:
        run: The run folder; its newest checkpoint is used.
        seed: Index of the seed.
        episodes: Number of episodes, 1 or more.
        greedy: Take the most likely internal action instead of sampling one.
        max_steps: Maximum number of steps of an episode; None for that of the run's evaluations,
            `evaluation.max_episode_steps`.
        film: File, frame rate and size of a film, written after the last episode; None for no film.
        env: Environment to use in place of the one that the run's settings describe.

    Yields:
        One episode after another.

    Raises:
        EmbrlError: The run or seed does not exist, its environment cannot be made or drawn, `env`
            has other spaces, or a number is out of range.
    """
    if episodes < 1:
        raise EmbrlError(f"episodes must be 1 or more, got {episodes}")
    if max_steps is not None and max_steps < 1:
        raise EmbrlError(f"max_steps must be 1 or more, got {max_steps}")
    folder = RunFolder.existing(run)
    config = load_config(folder)
    check_seed(folder, config, seed)
    if film is not None:
        prepare_mujoco()
    env = environment_of(folder, config) if env is None else env
    restored = restore_policy(folder, config, seed)
    restored.check_spaces(env, folder.path)
    pictures = None if film is None else _film(env, config.environment, film)
    drawn = pictures is not None and _draws_itself(env)
    key = stream_key(jax.random.fold_in(jax.random.key(config.seed), seed), RngStream.PLAY)
    played = play_episodes(
        env,
        restored.policy,
        key,
        episodes=episodes,
        greedy=greedy,
        max_steps=config.evaluation.max_episode_steps if max_steps is None else max_steps,
        on_state=pictures.look if pictures is not None and drawn else None,
    )
    return _filmed(played, pictures, film, config, drawn)


def _film(env: AnyEnvironment, name: str, config: FilmConfig) -> Film | None:
    """Return the film to record into while playing, None for cart_pole, drawn afterwards.

    Raises:
        EmbrlError: The environment cannot be drawn.
    """
    if isinstance(env, CartPole):
        require("matplotlib", "plot")
        return None
    if _draws_itself(env):
        if isinstance(env, Environment):
            return Film(name, config, env.render_fps)
        prepare_mujoco()  # the environment may just have imported it
        return Film(name, config, env.metadata.get("render_fps"))
    if is_image(env.observation_space):
        return Film(name, config, SEEN_RATE)
    if isinstance(env, Environment):
        raise EmbrlError(
            f"{name} cannot be drawn; leave out gif, or play cart_pole, lidar_robot, one with "
            "observations that are images, or an environment of Gymnasium that renders itself"
        )
    modes = _render_modes(env)
    known = f"only {', '.join(map(str, modes))}" if modes else "none"
    raise EmbrlError(f"{name} cannot be drawn: it must have render_mode rgb_array, got {known}")


def _draws_itself(env: AnyEnvironment) -> bool:
    if isinstance(env, Environment):
        return env.render_fps is not None
    return "rgb_array" in _render_modes(env)


def _render_modes(env: AnyEnvironment) -> Sequence[Any]:
    assert not isinstance(env, Environment)
    modes = env.metadata.get("render_modes")
    return modes if isinstance(modes, list | tuple) else []


def _filmed(
    played: Iterator[Episode],
    film: Film | None,
    wanted: FilmConfig | None,
    config: RunConfig,
    drawn: bool,
) -> Iterator[Episode]:
    """Yield the episodes, and write the film after them.

    Args:
        played: the episodes.
        film: film of them; None: there is none, or the one of cart_pole.
        wanted: file and size of the film; None: there is none.
        config: settings of the run.
        drawn: whether the environment draws itself into the film while it is played; otherwise
            the film shows what the agent saw.
    """
    shown: list[Episode] = []
    for episode in played:
        if film is not None and not drawn:
            for image in in_colours(episode.observations):
                film.look(functools.partial(enlarged, image, film.config.width))
        if wanted is not None and film is None and len(shown) < MAX_PANELS:
            shown.append(episode)
        yield episode
    if film is not None:
        film.write()
    elif wanted is not None:
        assert isinstance(config.env, CartPoleConfig)
        actors = [
            AnimatedAgent(f"episode {number}", episode.observations, episode.length)
            for number, episode in enumerate(shown, start=1)
        ]
        animate(wanted.path, f"{config.method} + {config.algorithm}", actors, config.env)
