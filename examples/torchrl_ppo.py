"""PPO of TorchRL in an embedding of states and actions.

    python examples/torchrl_ppo.py [STEPS]

Needs `pip install 'embrl[interop]'`.
"""

# pyright: reportMissingImports=false

import sys

import torch
from inventory import Inventory
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.envs import GymWrapper, RewardSum, TransformedEnv
from torchrl.modules import MLP, NormalParamExtractor, ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import embrl

try:
    from torchrl.collectors import Collector
except ImportError:  # its name in older versions of TorchRL
    from torchrl.collectors import SyncDataCollector as Collector


def shop() -> Inventory:
    return Inventory(products=3)


def main(steps: int = 30_000, samples: int = 10_000) -> float:
    """Train for `steps` timesteps; return the mean return of the last training episodes."""
    torch.manual_seed(0)
    embedding = embrl.fit(shop, timesteps=samples, tried_only=True, embedding={"action_dim": 3})
    env = TransformedEnv(GymWrapper(embrl.wrap(shop(), embedding)), RewardSum())
    net = nn.Sequential(
        MLP(embedding.m, 2 * embedding.d, num_cells=[64, 64], activation_class=nn.Tanh),
        NormalParamExtractor(),
    )
    actor = ProbabilisticActor(
        TensorDictModule(net, ["observation"], ["loc", "scale"]),
        in_keys=["loc", "scale"],
        distribution_class=TanhNormal,
        distribution_kwargs={"low": -1.0, "high": 1.0},
        return_log_prob=True,
    )
    critic = ValueOperator(MLP(embedding.m, 1, num_cells=[64, 64], activation_class=nn.Tanh))
    advantage = GAE(gamma=0.9, lmbda=0.95, value_network=critic)
    loss = ClipPPOLoss(actor, critic, clip_epsilon=0.2, entropy_coeff=1e-3)
    optimiser = torch.optim.Adam(loss.parameters(), lr=1e-3)
    batch = min(1000, steps)
    returns: list[float] = []
    for data in Collector(env, actor, frames_per_batch=batch, total_frames=steps):
        for _ in range(10):
            advantage(data)
            for rows in torch.randperm(batch).chunk(8):
                values = loss(data[rows])
                parts = [value for name, value in values.items() if name.startswith("loss_")]
                optimiser.zero_grad()
                torch.stack(parts).sum().backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimiser.step()
        after = data["next"]
        returns += after["episode_reward"][after["done"]].tolist()
    first, last = (sum(part) / len(part) for part in (returns[:20], returns[-20:]))
    print(f"mean return {first:.1f} -> {last:.1f} after {steps:,} steps")
    return last


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
