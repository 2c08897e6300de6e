"""PPO in a single PyTorch file, in the style of CleanRL, in an embedding of states and actions.

Only the lines marked <- know of the embedding.

    python examples/cleanrl_ppo.py [STEPS]

Needs `pip install 'embrl[interop]'`.
"""

# pyright: reportMissingImports=false

import sys

import gymnasium
import numpy as np
import torch
from inventory import Inventory
from torch import nn
from torch.distributions import Normal

import embrl

ENVS, ROLLOUT, EPOCHS, BATCHES = 8, 128, 10, 8
GAMMA, LAMBDA, CLIP, RATE = 0.9, 0.95, 0.2, 1e-3


def shop() -> Inventory:
    return Inventory(products=3)


class Agent(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.actor, self.critic = mlp(inputs, outputs, 0.01), mlp(inputs, 1, 1.0)
        self.log_std = nn.Parameter(torch.full((outputs,), -1.0))

    def policy(self, x: torch.Tensor) -> Normal:
        return Normal(self.actor(x), self.log_std.exp())


def mlp(inputs: int, outputs: int, gain: float) -> nn.Sequential:
    layers = [nn.Linear(inputs, 64), nn.Linear(64, 64), nn.Linear(64, outputs)]
    for layer, width in zip(layers, (2**0.5, 2**0.5, gain), strict=True):
        nn.init.orthogonal_(layer.weight, width)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


def main(steps: int = 30_000, samples: int = 10_000) -> float:
    """Train for `steps` timesteps; return the mean return of the last training episodes."""
    torch.manual_seed(0)
    embedding = embrl.fit(
        shop, timesteps=samples, tried_only=True, embedding={"action_dim": 3}
    )  # <-
    envs = gymnasium.vector.SyncVectorEnv(
        [shop] * ENVS, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP
    )
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(envs)
    envs = embrl.wrap(envs, embedding)  # <-
    agent = Agent(embedding.m, embedding.d)
    optimiser = torch.optim.Adam(agent.parameters(), lr=RATE, eps=1e-5)
    x = torch.zeros(ROLLOUT, ENVS, embedding.m)
    e = torch.zeros(ROLLOUT, ENVS, embedding.d)
    log_prob, reward, value, after, last = torch.zeros(5, ROLLOUT, ENVS)
    observation, _ = envs.reset(seed=0)
    returns: list[float] = []
    for _ in range(max(1, steps // (ROLLOUT * ENVS))):
        for t in range(ROLLOUT):
            with torch.no_grad():
                x[t] = torch.as_tensor(observation)
                policy = agent.policy(x[t])
                e[t] = policy.sample()
                log_prob[t] = policy.log_prob(e[t]).sum(-1)
                value[t] = agent.critic(x[t])[:, 0]
                observation, rewards, terminated, truncated, infos = envs.step(e[t].numpy())
                reward[t] = torch.as_tensor(rewards)
                ended = terminated | truncated
                # The true next state, also where an episode was truncated; no value after
                # termination.
                following = np.array(observation)
                for i in np.flatnonzero(ended):
                    following[i] = infos["final_obs"][i]
                    returns.append(float(infos["episode"]["r"][i]))
                after[t] = agent.critic(torch.as_tensor(following))[:, 0]
                after[t] *= torch.as_tensor(~terminated)
                last[t] = torch.as_tensor(ended)
        advantage = torch.zeros_like(reward)
        carried = torch.zeros(ENVS)
        for t in reversed(range(ROLLOUT)):
            error = reward[t] + GAMMA * after[t] - value[t]
            carried = error + GAMMA * LAMBDA * (1 - last[t]) * carried
            advantage[t] = carried
        target = (advantage + value).flatten()
        flat = [part.flatten(0, 1) for part in (x, e, log_prob, advantage)]
        for _ in range(EPOCHS):
            for rows in torch.randperm(ROLLOUT * ENVS).chunk(BATCHES):
                states, points, old, gain = (part[rows] for part in flat)
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                ratio = (agent.policy(states).log_prob(points).sum(-1) - old).exp()
                clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
                policy_loss = -torch.min(ratio * gain, clipped * gain).mean()
                value_loss = ((agent.critic(states)[:, 0] - target[rows]) ** 2).mean() / 2
                optimiser.zero_grad()
                (policy_loss + value_loss).backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimiser.step()
    first, final = np.mean(returns[:20]), np.mean(returns[-20:])
    print(f"mean return {first:.1f} -> {final:.1f} after {steps:,} steps")
    return float(final)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
