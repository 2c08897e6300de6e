"""SAC of Stable-Baselines3, which has no discrete actions, on discrete actions.

It chooses points of E, and the decoder f turns them into joint orders.

    python examples/sb3_sac.py [STEPS]

Needs `pip install 'embrl[interop]'`.
"""

# pyright: reportMissingImports=false

import sys

from inventory import Inventory
from stable_baselines3 import SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

import embrl


def shop() -> Inventory:
    return Inventory(products=3)


def main(steps: int = 5_000, samples: int = 10_000) -> float:
    """Train for `steps` timesteps; return the mean return."""
    embedding = embrl.fit(shop, timesteps=samples, tried_only=True, embedding={"action_dim": 3})
    env = make_vec_env(lambda: embrl.wrap(shop(), embedding), 1, seed=0)
    print(f"{shop().action_space} -> {env.action_space}")
    model = SAC(
        "MlpPolicy", env, gamma=0.9, learning_rate=1e-3, learning_starts=200, seed=0, device="cpu"
    )
    before = evaluate_policy(model, env, 40)[0]
    model.learn(steps)
    after = evaluate_policy(model, env, 40)[0]
    print(f"mean return {before:.1f} -> {after:.1f} after {steps:,} steps")
    return float(after)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
