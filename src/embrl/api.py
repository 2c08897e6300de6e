"""Python interface of training, as `import embrl` offers it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embrl import envs
from embrl.algorithms import ALGORITHMS
from embrl.algorithms.base import Algorithm, PolicyConfig
from embrl.config.defaults import (
    ALGORITHM,
    METHOD,
    SETTINGS,
    Settings,
    default_config,
    with_sections,
)
from embrl.config.method_settings import MethodSettings, chosen
from embrl.config.run import (
    EvaluationConfig,
    ExplorationConfig,
    ImitationConfig,
    OnlineConfig,
    RolloutConfig,
    TransferConfig,
    begun_config,
    load_config,
)
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.runtime import prepare_jax
from embrl.core.spaces import is_continuous
from embrl.decoding.base import DecoderConfig
from embrl.embedding.config import EchoConfig, EmbeddingConfig, PretrainConfig
from embrl.embedding.objectives import OwnObjective
from embrl.envs import AnyEnvironment, EnvConfig, Environment
from embrl.report.logs import make_callbacks
from embrl.report.progress_bar import showing_progress
from embrl.storage.files import TemporaryFolder
from embrl.trained import EnvironmentObject, Run, built_environment
from embrl.training.callbacks import Callback, as_callbacks
from embrl.training.episodes import Episode
from embrl.training.loop import SAVE_EVERY, ProgressCallback, ignore_progress
from embrl.training.loop import train as run_training


def make(environment: str, **options: Any) -> Any:
    """Make an environment by name.

    Args:
        environment: a name of ours, or a Gymnasium id.
        **options: settings in place of its defaults.

    Returns:
        A JAX `Environment` of ours, or a `HostEnvironment` of Gymnasium's.

    Raises:
        EmbrlError: there is no such environment or option, or a value is out of range.
    """
    return envs.configure(environment, **options).build()


def train(
    environment: "str | EnvironmentObject",
    *,
    out: str | Path | None = None,
    method: str | MethodSettings = METHOD,
    algorithm: str | Algorithm = ALGORITHM,
    settings: Settings = SETTINGS,
    seeds: int | None = None,
    total_timesteps: int | None = None,
    seed: int = 0,
    resume: bool = False,
    objectives: Mapping[str, float] | None = None,
    custom_objectives: Mapping[str, OwnObjective] | None = None,
    embedding: EmbeddingConfig | Mapping[str, Any] | None = None,
    echo: EchoConfig | Mapping[str, Any] | None = None,
    pretrain: PretrainConfig | Mapping[str, Any] | None = None,
    online: OnlineConfig | Mapping[str, Any] | None = None,
    transfer: TransferConfig | Mapping[str, Any] | None = None,
    policy: PolicyConfig | Mapping[str, Any] | None = None,
    decoder: DecoderConfig | Mapping[str, Any] | None = None,
    rollout: RolloutConfig | Mapping[str, Any] | None = None,
    imitation: ImitationConfig | Mapping[str, Any] | None = None,
    exploration: ExplorationConfig | Mapping[str, Any] | None = None,
    evaluation: EvaluationConfig | Mapping[str, Any] | None = None,
    callback: Callback | Sequence[Callback] | None = None,
    log: str | Sequence[str] = (),
    progress: bool = False,
    on_progress: ProgressCallback = ignore_progress,
    **options: Any,
) -> Run:
    """Train an embedding and a policy in it, as `embrl train` does.

    Settings that are not given have the defaults of the command line, in every section: an object
    as `embrl.PolicyConfig(hidden=(128,))` sets `hidden` alone. A mapping by name will do, too.

    Args:
        environment: a name of ours or a Gymnasium id; or an object: a `gymnasium.Env`, which is
            copied and never stepped itself, a function that makes one, one of our JAX environments,
            or one of gymnax, alone or as the pair that `gymnax.make` returns. To resume the run of
            an object, pass the object again.
        out: the run folder to write. None: nothing is kept but what is in the result
            (`Run.save` writes it).
        method: an object as `embrl.JSAE(state_dim=16)`; or a name: `jsae`, `none` for the same
            algorithm on raw states and actions, ...
        algorithm: an object as `embrl.PPO(gamma=0.9)`; or a name: `ppo`, `vpg`, `sac`, or one that
            is registered.
        settings: source of the defaults: `best`, `tuned` or `paper`.
        seeds: number of independent trainings, side by side.
        total_timesteps: environment steps of each, including those of pre-training.
        seed: random seed.
        resume: continue from the last checkpoint in `out`; to more `total_timesteps`, if given.
        objectives: weights by name, instead of the method's.
        custom_objectives: your own objectives, by their names in `objectives`: functions of an
            embedding and transitions, or subclasses of `Objective`. To resume, pass them again.
        embedding: networks of the embedding.
        echo: settings of the head `echo`.
        pretrain: pre-training of the embedding.
        online: updates of the embedding during policy training.
        transfer: embedding and policy taken over from another run.
        policy: networks and input of the policy.
        decoder: f, which turns points of the embedding into actions.
        rollout: collection of experience.
        imitation: supervised training on an expert's actions, before rewards count.
        exploration: bonus for reaching states that were seldom reached.
        evaluation: evaluation of the policy.
        callback: called with a `TrainingEvent` after each evaluation; or an object with any of
            `on_start`, `on_evaluation` and `on_end`; or several. Returning False stops the
            training; a run with a folder can be resumed.
        log: logs in the format of other tools, as `tensorboard`.
        progress: whether to show a progress bar.
        on_progress: called with a `Progress` between chunks.
        **options: settings of an environment given by name.

    Returns:
        The run.

    Raises:
        EmbrlError: as `embrl train` reports it.
    """
    prepare_jax()
    name, env, found = _environment(environment, options)
    algorithm_name = algorithm if isinstance(algorithm, str) else _registered_name(algorithm)
    method_name, sections = chosen(
        method,
        embedding=embedding,
        echo=echo,
        pretrain=pretrain,
        online=online,
        transfer=transfer,
        policy=policy,
        decoder=decoder,
        rollout=rollout,
        imitation=imitation,
        exploration=exploration,
        evaluation=evaluation,
        **{} if isinstance(algorithm, str) else {algorithm_name: algorithm},
    )
    config = None
    if resume and out is not None:
        config = begun_config(Path(out), name, method_name, algorithm_name)
    if config is None:
        config = default_config(
            name, env, method_name, algorithm_name, settings, found, total_timesteps=total_timesteps
        )
    config = dataclasses.replace(
        config,
        env=env,
        seed=seed,
        seeds=config.seeds if seeds is None else seeds,
        total_timesteps=config.total_timesteps if total_timesteps is None else total_timesteps,
    )
    config = with_sections(config, sections)
    if objectives is not None:
        config = dataclasses.replace(config, objectives=dict(objectives))
    memory = None
    if out is None:
        memory = TemporaryFolder()
    callbacks = [*as_callbacks(callback), *make_callbacks(log)]
    if log and out is None:
        raise SettingError("out", "a run folder where there is a log", None)
    with showing_progress(config, on_progress, progress) as shown:
        folder = run_training(
            config,
            memory.path / "run" if memory else out,  # type: ignore[arg-type]
            resume=resume,
            on_progress=shown,
            save_every=SAVE_EVERY if memory is None else math.inf,
            custom_objectives=custom_objectives,
            env=found,
            callback=callbacks,
        )
    return Run(folder, load_config(folder), environment=found, _memory=memory)


def play(
    run: "str | Path | Run",
    *,
    seed: int = 0,
    episodes: int = 10,
    greedy: bool = False,
    max_steps: int | None = None,
    gif: str | Path | None = None,
    fps: float = 15.0,
    width: int = 240,
    environment: "EnvironmentObject | None" = None,
) -> list[Episode]:
    """Play whole episodes with a trained policy, the same ones each time, as `embrl play` does.

    Args:
        run: the run, or its folder.
        seed: index of the seed whose policy plays.
        episodes: number of episodes.
        greedy: whether to take the most likely internal action instead of drawing one.
        max_steps: steps after which an episode is cut; None: the run's
            `evaluation.max_episode_steps`.
        gif: a file to write an animation to.
        fps: frames per second of the animation, at most.
        width: its width in pixels, at most.
        environment: the environment of a run that was trained on an object.

    Raises:
        EmbrlError: as `embrl play` reports it.
    """
    from embrl.report import recording  # with it come pictures
    from embrl.report.film import FilmConfig

    prepare_jax()
    film = None if gif is None else FilmConfig(Path(gif), fps, width)
    path = run.folder.path if isinstance(run, Run) else run
    env = None if environment is None else built_environment(environment)
    played = recording.play(
        path, seed=seed, episodes=episodes, greedy=greedy, max_steps=max_steps, film=film, env=env
    )
    return list(played)


def _environment(
    environment: "str | EnvironmentObject", options: dict[str, Any]
) -> "tuple[str, EnvConfig, AnyEnvironment | None]":
    """Return its name, its settings, and itself where the settings cannot build it."""
    if isinstance(environment, str):
        return environment, envs.configure(environment, **options), None
    from embrl.envs.gym.registration import PREFIX, ObjectConfig

    built = built_environment(environment)
    compiled = isinstance(built, Environment)
    name = envs.environment_name(built)
    if options:
        raise EmbrlError(
            f"{', '.join(options)} must be left out: {name} is an object, and its options are set "
            "where it is made"
        )
    return PREFIX + name, ObjectConfig(name, is_continuous(built.action_space), not compiled), built


def _registered_name(algorithm: Algorithm) -> str:
    """Return the name of an algorithm's class in the registry."""
    for name in ALGORITHMS:
        if ALGORITHMS[name] is type(algorithm):
            return name
    raise EmbrlError(
        f"algorithm must be a registered one, got {type(algorithm).__name__}; register it with "
        "embrl.register_algorithm"
    )
