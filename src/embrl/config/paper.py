"""Settings as published by Pritz et al. (2021): Tables 1 to 7, and the protocol of A.4.2.

The tables were read from a scan. Values that could not be read with certainty are marked
"unreadable", with the value chosen; what the paper does not state is marked "not stated".
"""

from typing import Any, NamedTuple

from embrl.config.run import HYPERPARAMETERS
from embrl.core.errors import EmbrlError
from embrl.envs import EnvConfig


class Cell(NamedTuple):
    """Column of a table: the best point of the paper's grid search."""

    actor_lr: float
    critic_lr: float
    std: float = 1.0
    """Not used without an embedding, where the policy is a softmax over actions. (Table 1 lists
    0.8, 0.6 and 0.8 for the continuous gridworld nevertheless; the last is unreadable.)"""
    m: int = 8
    d: int = 2
    hidden: tuple[int, ...] = (64, 64)
    alpha: float = 0.1
    batch: int = 256


Key = tuple[str, str, int]
"""Method, algorithm, and number of actuators (0 where there are none)."""

GRIDWORLD: dict[Key, Cell] = {
    # Table 1.
    ("none", "vpg", 5): Cell(1e-3, 1e-3),
    ("none", "vpg", 9): Cell(1e-3, 3e-4),
    ("none", "vpg", 11): Cell(1e-3, 1e-3),
    # Table 2. The stds of 5 ("^08") and 11 ("T0") are unreadable: .8 and 1.
    ("jsae", "vpg", 5): Cell(3e-4, 3e-4, 0.8),
    ("jsae", "vpg", 9): Cell(1e-4, 1e-3, 1.0),
    ("jsae", "vpg", 11): Cell(3e-4, 1e-3, 1.0),
    # Table 3. The stds of 5 ("^08") and 11 ("^^06") are unreadable: .8 and .6.
    ("ra", "vpg", 5): Cell(3e-4, 3e-4, 0.8),
    ("ra", "vpg", 9): Cell(3e-4, 1e-3, 0.6),
    ("ra", "vpg", 11): Cell(3e-4, 3e-4, 0.6),
}

CONTINUOUS_GRIDWORLD: dict[Key, Cell] = {
    # Table 1.
    ("none", "vpg", 5): Cell(1e-3, 1e-3),
    ("none", "vpg", 9): Cell(1e-3, 1e-3),
    ("none", "vpg", 11): Cell(1e-3, 1e-4),
    # Table 2. The std of 11 ("T0") is unreadable: 1.
    ("jsae", "vpg", 5): Cell(1e-4, 3e-4, 0.3),
    ("jsae", "vpg", 9): Cell(3e-4, 1e-3, 1.0),
    ("jsae", "vpg", 11): Cell(3e-4, 1e-3, 1.0),
    # Table 3. The std of 11 ("-T.0") is unreadable: 1.
    ("ra", "vpg", 5): Cell(1e-3, 1e-4, 0.8),
    ("ra", "vpg", 9): Cell(3e-4, 3e-4, 0.8),
    ("ra", "vpg", 11): Cell(3e-4, 1e-4, 1.0),
}

SLOT_MACHINE: dict[Key, Cell] = {
    # Table 4.
    ("none", "vpg", 0): Cell(3e-4, 1e-3),
    ("jsae", "vpg", 0): Cell(3e-4, 1e-4, 0.6, m=16, d=4),
    ("ra", "vpg", 0): Cell(3e-4, 1e-3, 1.0, d=2),
}

RECOMMENDER: dict[Key, Cell] = {
    # Table 7. Without embedding there is no SAC.
    ("none", "vpg", 0): Cell(1e-3, 1e-3),
    ("none", "ppo", 0): Cell(1e-3, 1e-4),
    # Both dimensions ("1") are unreadable: 8 and 8, as for PPO. Units of the networks ("764,"): 64.
    ("jsae", "vpg", 0): Cell(1e-3, 3e-4, 0.8, d=8),
    ("jsae", "ppo", 0): Cell(1e-3, 1e-3, 0.8, d=8),
    ("jsae", "sac", 0): Cell(1e-3, 1e-3, 0.8, d=8),
    ("ra", "vpg", 0): Cell(1e-3, 1e-4, 0.6, d=8),
    ("ra", "ppo", 0): Cell(1e-3, 1e-4, 0.6, d=8),
    # The dimension ("1"), the std ("^06-") and the batch ("^56-") are unreadable: 8, .6 and 256.
    ("ra", "sac", 0): Cell(1e-4, 1e-4, 0.6, d=8, hidden=(128, 128)),
}


HALF_CHEETAH: dict[Key, Cell] = {
    # Table 5. Both stds are "06": .6.
    ("none", "vpg", 0): Cell(3e-4, 3e-4, 0.6, hidden=(128, 128)),
    ("jsae", "vpg", 0): Cell(3e-4, 1e-3, 0.6, m=20, d=10, hidden=(128, 128)),
}

ANT: dict[Key, Cell] = {
    # Table 6. SAC-JSAE's dimension of states ("-^64"), std ("-^08") and batch ("-^256") are hard to
    # read: 64, .8 and 256; SAC's batch is not there: 256.
    ("none", "vpg", 0): Cell(1e-4, 1e-3, 0.6, hidden=(128, 128)),
    ("none", "ppo", 0): Cell(3e-4, 3e-4, 0.8, hidden=(128, 128)),
    ("none", "sac", 0): Cell(1e-3, 1e-3, 0.6, hidden=(128, 128)),
    ("jsae", "vpg", 0): Cell(1e-4, 1e-3, 0.6, m=64, d=8, hidden=(128, 128)),
    ("jsae", "ppo", 0): Cell(3e-4, 1e-3, 0.8, m=32, d=8, hidden=(128, 128)),
    ("jsae", "sac", 0): Cell(1e-3, 1e-3, 0.8, m=64, d=8, hidden=(128, 128)),
}


class Protocol(NamedTuple):
    """The paper's training protocol in one environment."""

    cells: dict[Key, Cell]
    total_timesteps: int
    steps_per_update: int
    num_envs: int
    """Not stated; chosen for speed. If episodes have 20 steps, each plays one per update."""
    evaluate_every: int
    """Timesteps between two evaluations: not stated."""
    pretraining: int = 30_000
    fit_steps: int = 500
    """Gradient steps of pre-training: not stated; about ten epochs on its transitions."""
    episodes: int = 10
    final_episodes: int = 100
    update_every: int = 0
    step_limit: int | None = None
    """Maximum steps of an episode, where they differ from the environment's default."""


PROTOCOLS: dict[str, Protocol] = {
    # The paper's 700 updates would be 1,050,000 timesteps; its figures end at a million.
    "gridworld": Protocol(GRIDWORLD, 1_000_000, 1500, 30, 7500),
    "continuous_gridworld": Protocol(CONTINUOUS_GRIDWORLD, 1_000_000, 1500, 30, 7500),
    "slot_machine": Protocol(SLOT_MACHINE, 500_000, 200, 10, 5000),
    # 200,000 timesteps before training on page 18, 50,000 on page 17. Returns lie close together,
    # so 10 episodes would not tell them apart.
    "recommender": Protocol(
        RECOMMENDER,
        1_000_000,
        1000,
        50,
        10_000,
        pretraining=200_000,
        fit_steps=3000,
        episodes=50,
        final_episodes=4000,
        update_every=1,
    ),
    # num_envs: a rollout consists of whole episodes of the maximum length.
    "HalfCheetah-v5": Protocol(HALF_CHEETAH, 1_500_000, 1500, 6, 30_000, step_limit=250),
    "Ant-v5": Protocol(
        ANT,
        6_000_000,
        3000,
        3,
        120_000,
        pretraining=100_000,
        fit_steps=2000,
        episodes=5,
        final_episodes=50,
        update_every=1,
        step_limit=1000,
    ),
}

UPDATE = {"gradient_steps": 4, "batch_size": 512, "learning_rate": 0.01}
"""Online updates of the embedding: gradient_steps and batch_size are not stated."""


def published(
    environment: str, env: EnvConfig, method: str, algorithm: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the published total timesteps, and settings by section.

    Gridworlds get the settings of the nearest number of actuators in the tables.

    Args:
        environment: its name.
        env: its settings.
        method: a name in `METHODS`.
        algorithm: a name in `ALGORITHMS`.

    Raises:
        EmbrlError: the paper has no such environment, method or algorithm.
    """
    protocol = PROTOCOLS.get(environment)
    if protocol is None:
        raise EmbrlError(
            f"settings paper needs one of {', '.join(PROTOCOLS)}, got {environment}; choose "
            "settings tuned"
        )
    sizes = sorted({size for _, _, size in protocol.cells})
    actuators = getattr(env, "actuators", 0)
    size = min(sizes, key=lambda known: abs(known - actuators))
    cell = protocol.cells.get((method, algorithm, size))
    if cell is None:
        known = sorted({f"{there} with {how}" for there, how, _ in protocol.cells})
        raise EmbrlError(
            f"settings paper for {environment} needs one of {', '.join(known)}, got {method} with "
            f"{algorithm}; choose settings tuned"
        )
    settings: dict[str, dict[str, Any]] = {
        "rollout": {
            "steps_per_update": protocol.steps_per_update,
            "num_envs": protocol.num_envs,
            "sticky_action_prob": 0.0,
        },
        "evaluation": {
            "every": protocol.evaluate_every,
            "episodes": protocol.episodes,
            "final_episodes": protocol.final_episodes,
        },
        "embedding": {"state_dim": cell.m, "action_dim": cell.d, "head": "softmax"},
        "pretrain": {
            "timesteps": protocol.pretraining,
            "gradient_steps": protocol.fit_steps,
            "learning_rate": 0.01,
        },
        "policy": {"std": cell.std, "bounded": False, "hidden": cell.hidden},
        HYPERPARAMETERS: _hyperparameters(algorithm, cell),
    }
    if protocol.update_every and method != "none":
        settings["online"] = {"every": protocol.update_every, **UPDATE}
    return protocol.total_timesteps, settings


def _hyperparameters(algorithm: str, cell: Cell) -> dict[str, Any]:
    rates = {"actor_lr": cell.actor_lr, "critic_lr": cell.critic_lr, "gamma": 0.99}
    if algorithm == "sac":
        return {**rates, "alpha": cell.alpha, "batch_size": cell.batch, "updates_per_step": 1.0}
    clipped = {"clip_range": 0.2, "target_kl": 0.0} if algorithm == "ppo" else {}
    return {
        **rates,
        **clipped,
        "std_lr": cell.actor_lr,
        "scale_by_std": False,
        "ent_coef": 0.0,
        "gae_lambda": 0.97,
        "update_epochs": 3,
        "critic_epochs": 6,
        "num_minibatches": 1,
    }
