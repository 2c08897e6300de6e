"""Default settings where environments run on the host, and where actions are numbers.

Those of PPO and SAC are the usual ones (Stable-Baselines3's defaults, which go back to Schulman et
al. 2017 and Haarnoja et al. 2018), so that runs without embeddings are baselines as others know
them.
"""

from typing import Any

from embrl.envs import EnvConfig, is_host
from embrl.spaces import dimensions, is_continuous
from embrl.training.world import AnyEnvironment

Changes = dict[str, dict[str, Any]]
"""By section."""

LARGEST_M, SMALLEST_M = 64, 8

ON_POLICY: Changes = {
    "rollout": {"epoch": 2048, "lanes": 8},
    "evaluation": {"every": 20_480, "episodes": 5, "final_episodes": 20},
}
OFF_POLICY: Changes = {
    "rollout": {"epoch": 200, "lanes": 4, "buffer": 1_000_000},
    "evaluation": {"every": 10_000, "episodes": 5, "final_episodes": 20},
}
PPO = {
    "actor_lr": 3e-4,
    "std_lr": 3e-4,
    "critic_lr": 3e-4,
    "scale_by_std": False,
    "entropy_cost": 0.0,
    "gae_lambda": 0.95,
    "actor_steps": 10,
    "critic_steps": 10,
    "minibatches": 32,
}
SAC = {
    "actor_lr": 3e-4,
    "critic_lr": 3e-4,
    "alpha": 1.0,
    "alpha_lr": 3e-4,
    "updates_per_sample": 1.0,
}


def on_the_host(off_policy: bool) -> Changes:
    """How experience is collected and policies are measured where steps are dear."""
    return OFF_POLICY if off_policy else ON_POLICY


def of_numbers(env: EnvConfig, algorithm: str, built: "AnyEnvironment | None" = None) -> Changes:
    """What suits actions that are vectors.

    Arguments:
        built: the environment, where `env` cannot build it (`ObjectConfig`).
    """
    built = env.build() if built is None else built
    observations, actions = built.observation_space, built.action_space
    m = dimensions(observations) if is_continuous(observations) else SMALLEST_M
    changes: Changes = {
        "model": {"m": min(LARGEST_M, max(SMALLEST_M, m)), "d": dimensions(actions)},
        "fit": {"samples": 10_000, "steps": 1000},
        "policy": {"std": 1.0, "std_unit": "action"},
    }
    if algorithm == "ppo" and is_host(env):
        changes |= {"hyper": PPO}
    if algorithm == "sac":
        # Not "seen" (docs/decisions/0019).
        changes["policy"] = {"std": 1.0, "hidden": (256, 256), "normalise": "down"}
        changes |= {"hyper": SAC}
    return changes
