"""A run's policy at play, and its film."""

from collections.abc import Iterator
from pathlib import Path

import jax

from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError, require
from embrl.envs import AnyEnvironment, Environment
from embrl.envs.cart_pole import CartPole, CartPoleConfig
from embrl.report.agents_animation import Actor, animate
from embrl.report.film import Film, FilmConfig
from embrl.report.rendering import prepare_mujoco
from embrl.storage.run_folder import RunFolder
from embrl.training import episodes as playing
from embrl.training.episodes import Episode
from embrl.training.restore import check_seed, restore_policy
from embrl.training.rng_streams import RngStream, stream_key

PANELS = 4
"""Episodes that stand side by side in a film of carts."""


def play(
    run: str | Path,
    *,
    seed: int = 0,
    episodes: int = 10,
    greedy: bool = False,
    steps: int | None = None,
    film: FilmConfig | None = None,
    env: "AnyEnvironment | None" = None,
) -> Iterator[Episode]:
    """Plays episodes with the policy of one seed, each as it is asked for; the same ones each time.

    Arguments:
        greedy: the likeliest internal action instead of a draw.
        steps: where an episode is cut; None: it is played to its end.
        film: written once all are played.
        env: in place of the one that the run's settings describe.

    Raises:
        EmbrlError: there is no such run or seed, its environment cannot be made, is another one or
            cannot be drawn, or a number is out of range.
    """
    if episodes < 1:
        raise EmbrlError(f"episodes is {episodes}: choose 1 or more")
    if steps is not None and steps < 1:
        raise EmbrlError(f"steps is {steps}: choose 1 or more")
    folder = RunFolder.existing(run)
    config = load_config(folder)
    check_seed(folder, config, seed)
    if film is not None:
        prepare_mujoco()
    env = config.env.build() if env is None else env
    restored = restore_policy(folder, config, seed)
    for kind in ("observation_space", "action_space"):
        if getattr(env, kind) != getattr(restored, kind):
            raise EmbrlError(
                f"{folder.path} has the {kind.replace('_', ' ')} {getattr(restored, kind)}, this "
                f"environment {getattr(env, kind)}: it is another one"
            )
    pictures = None if film is None else _film(env, config.environment, film)
    key = stream_key(jax.random.fold_in(jax.random.key(config.seed), seed), RngStream.PLAY)
    played = playing.play(
        env,
        restored.policy,
        key,
        episodes=episodes,
        greedy=greedy,
        most=steps,
        look=None if pictures is None else pictures.look,
    )
    return _filmed(played, pictures, film, config)


def _film(env: AnyEnvironment, name: str, config: FilmConfig) -> Film | None:
    """A film to be made while the episode is played; None if it is drawn afterwards.

    Raises:
        EmbrlError: there is no way to draw the environment.
    """
    if isinstance(env, CartPole):
        require("matplotlib", "plot")
        return None
    if isinstance(env, Environment):
        raise EmbrlError(
            f"{name} has no film: cart_pole has, and so have Gymnasium's environments that draw "
            "themselves"
        )
    modes = env.metadata.get("render_modes") or []
    if "rgb_array" not in modes:
        known = f"only {', '.join(map(str, modes))}" if modes else "no way to draw itself"
        raise EmbrlError(f"{name} has no film: it has {known}, no render_mode rgb_array")
    prepare_mujoco()  # by now it is imported, if the environment needs it
    return Film(name, config, env.metadata.get("render_fps"))


def _filmed(
    played: Iterator[Episode], film: Film | None, wanted: FilmConfig | None, config: RunConfig
) -> Iterator[Episode]:
    shown: list[Episode] = []
    for episode in played:
        if wanted is not None and film is None and len(shown) < PANELS:
            shown.append(episode)
        yield episode
    if film is not None:
        film.write()
    elif wanted is not None:
        assert isinstance(config.env, CartPoleConfig)
        actors = [
            Actor(f"episode {number}", episode.observations, episode.length)
            for number, episode in enumerate(shown, start=1)
        ]
        animate(wanted.path, f"{config.method} + {config.algorithm}", actors, config.env)
