"""embrl: embeddings for reinforcement learning.

    import embrl

    env = embrl.make("gridworld", actuators=9)
    run = embrl.train("gridworld", actuators=9, method="jsae", total_timesteps=30_000, out="runs/1")
    policy = embrl.load("runs/1").policy()
    action = policy.act(observation)

Importing embrl is cheap: JAX is loaded at the first call.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embrl.agents.api import (
        collect_agents,
        fit_agents,
        generate_agents,
        improve_agents,
        load_agents,
        report_agents,
        walk_agents,
    )
    from embrl.algorithms.base import PolicyConfig
    from embrl.algorithms.ppo import PPO
    from embrl.algorithms.sac import SAC
    from embrl.algorithms.vpg import VPG
    from embrl.api import make, play, train
    from embrl.config.method_settings import DCT, JSAE, RA, Autoencoders, LatentPrediction
    from embrl.config.run import (
        EvaluationConfig,
        ExplorationConfig,
        ImitationConfig,
        OnlineConfig,
        RolloutConfig,
        TransferConfig,
    )
    from embrl.core.errors import EmbrlError, EmbrlWarning
    from embrl.decoding.base import DecoderConfig
    from embrl.deploy.export import export
    from embrl.deploy.exported import load_policy
    from embrl.embedding.config import EchoConfig, EmbeddingConfig, PretrainConfig
    from embrl.explorer.explore import explore
    from embrl.fitting.embedding import Embedding, load_embedding
    from embrl.fitting.fit import fit
    from embrl.interop.wrappers import wrap
    from embrl.loading import load
    from embrl.registration import (
        register_algorithm,
        register_decoder,
        register_environment,
        register_method,
        register_objective,
        register_text_encoder,
    )
    from embrl.store.store import Store
    from embrl.tasks.config import TasksConfig
    from embrl.tasks.episode import TaskEpisode
    from embrl.tasks.inverse import infer_task
    from embrl.tasks.search import search_tasks
    from embrl.trained import Run
    from embrl.training.callbacks import TrainingEvent
    from embrl.training.episodes import Episode, Evaluation
    from embrl.training.trained_policy import Policy
    from embrl.training.trainer import Trainer

_HOMES = {
    "Autoencoders": "config.method_settings",
    "DCT": "config.method_settings",
    "DecoderConfig": "decoding.base",
    "EchoConfig": "embedding.config",
    "Embedding": "fitting.embedding",
    "EmbeddingConfig": "embedding.config",
    "EmbrlError": "core.errors",
    "EmbrlWarning": "core.errors",
    "Episode": "training.episodes",
    "Evaluation": "training.episodes",
    "EvaluationConfig": "config.run",
    "ExplorationConfig": "config.run",
    "ImitationConfig": "config.run",
    "JSAE": "config.method_settings",
    "LatentPrediction": "config.method_settings",
    "OnlineConfig": "config.run",
    "PPO": "algorithms.ppo",
    "Policy": "training.trained_policy",
    "PolicyConfig": "algorithms.base",
    "PretrainConfig": "embedding.config",
    "RA": "config.method_settings",
    "RolloutConfig": "config.run",
    "Run": "trained",
    "SAC": "algorithms.sac",
    "Store": "store.store",
    "TaskEpisode": "tasks.episode",
    "TasksConfig": "tasks.config",
    "Trainer": "training.trainer",
    "TransferConfig": "config.run",
    "TrainingEvent": "training.callbacks",
    "VPG": "algorithms.vpg",
    "collect_agents": "agents.api",
    "explore": "explorer.explore",
    "export": "deploy.export",
    "fit": "fitting.fit",
    "fit_agents": "agents.api",
    "generate_agents": "agents.api",
    "improve_agents": "agents.api",
    "infer_task": "tasks.inverse",
    "load": "loading",
    "load_agents": "agents.api",
    "load_embedding": "fitting.embedding",
    "load_policy": "deploy.exported",
    "make": "api",
    "play": "api",
    "register_algorithm": "registration",
    "register_decoder": "registration",
    "register_environment": "registration",
    "register_method": "registration",
    "register_objective": "registration",
    "register_text_encoder": "registration",
    "report_agents": "agents.api",
    "search_tasks": "tasks.search",
    "train": "api",
    "walk_agents": "agents.api",
    "wrap": "interop.wrappers",
}
"""The module of each public name, imported when it is first used."""

__all__ = [
    "DCT",
    "JSAE",
    "PPO",
    "RA",
    "SAC",
    "VPG",
    "Autoencoders",
    "DecoderConfig",
    "EchoConfig",
    "Embedding",
    "EmbeddingConfig",
    "EmbrlError",
    "EmbrlWarning",
    "Episode",
    "Evaluation",
    "EvaluationConfig",
    "ExplorationConfig",
    "ImitationConfig",
    "LatentPrediction",
    "OnlineConfig",
    "Policy",
    "PolicyConfig",
    "PretrainConfig",
    "RolloutConfig",
    "Run",
    "Store",
    "TaskEpisode",
    "TasksConfig",
    "Trainer",
    "TrainingEvent",
    "TransferConfig",
    "collect_agents",
    "explore",
    "export",
    "fit",
    "fit_agents",
    "generate_agents",
    "improve_agents",
    "infer_task",
    "load",
    "load_agents",
    "load_embedding",
    "load_policy",
    "make",
    "play",
    "register_algorithm",
    "register_decoder",
    "register_environment",
    "register_method",
    "register_objective",
    "register_text_encoder",
    "report_agents",
    "search_tasks",
    "train",
    "walk_agents",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":  # stands in pyproject.toml alone
        from importlib.metadata import version  # slow, and seldom needed

        return version("embrl")
    if name in _HOMES:
        return getattr(importlib.import_module(f"embrl.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'embrl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})  # for completion in notebooks


importlib.import_module("embrl.core.gymnasium_ids").register_once_imported()
