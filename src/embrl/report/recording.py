"""Episodes played with a run's policy, with an optional film of them."""

from collections.abc import Iterator
from pathlib import Path

import jax

from embrl.config.run import RunConfig, load_config
from embrl.core.errors import EmbrlError, require
from embrl.envs import Environment
from embrl.envs.cart_pole import CartPole, CartPoleConfig
from embrl.report.cart_animation import AnimatedAgent, animate
from embrl.report.film import Film, FilmConfig, prepare_mujoco
from embrl.storage.run_folder import RunFolder
from embrl.training.backend import AnyEnvironment
from embrl.training.environment_record import environment_of
from embrl.training.episodes import Episode, play_episodes
from embrl.training.restore import check_seed, restore_policy
from embrl.training.rng_streams import RngStream, stream_key

MAX_PANELS = 4
"""Maximum number of episodes side by side in a film of cart_pole."""


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
    key = stream_key(jax.random.fold_in(jax.random.key(config.seed), seed), RngStream.PLAY)
    played = play_episodes(
        env,
        restored.policy,
        key,
        episodes=episodes,
        greedy=greedy,
        max_steps=config.evaluation.max_episode_steps if max_steps is None else max_steps,
        on_state=None if pictures is None else pictures.look,
    )
    return _filmed(played, pictures, film, config)


def _film(env: AnyEnvironment, name: str, config: FilmConfig) -> Film | None:
    """Return the film to record into while playing, None for cart_pole, drawn afterwards.

    Raises:
        EmbrlError: The environment cannot be drawn.
    """
    if isinstance(env, CartPole):
        require("matplotlib", "plot")
        return None
    if isinstance(env, Environment):
        if env.render_fps is not None:
            return Film(name, config, env.render_fps)
        raise EmbrlError(
            f"{name} cannot be drawn; leave out gif, or play cart_pole, lidar_robot or an "
            "environment of Gymnasium that renders itself"
        )
    modes = env.metadata.get("render_modes")
    modes = modes if isinstance(modes, list | tuple) else []
    if "rgb_array" not in modes:
        known = f"only {', '.join(map(str, modes))}" if modes else "none"
        raise EmbrlError(f"{name} cannot be drawn: it must have render_mode rgb_array, got {known}")
    prepare_mujoco()  # the environment may just have imported it
    return Film(name, config, env.metadata.get("render_fps"))


def _filmed(
    played: Iterator[Episode], film: Film | None, wanted: FilmConfig | None, config: RunConfig
) -> Iterator[Episode]:
    shown: list[Episode] = []
    for episode in played:
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
