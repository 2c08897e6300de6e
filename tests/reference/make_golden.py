"""Writes golden.json: what PyTorch and Stable-Baselines3 make of fixed small batches.

    python3.11 -m venv /tmp/reference
    /tmp/reference/bin/pip install torch==2.13.0 stable-baselines3==2.9.2 numpy
    /tmp/reference/bin/python tests/reference/make_golden.py

Nothing of embrl is used here, and nothing of this is needed to run the tests. Arrays are written in
embrl's layout: a linear layer is x W + b, a network W, b, W, b, and twins are stacked. Losses and
gradients are PyTorch's; whole trainings are Stable-Baselines3's own `train`; all in float64.
"""

# pyright: reportMissingImports=false

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common import policies
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    SquashedDiagGaussianDistribution,
)
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples, RolloutBufferSamples
from stable_baselines3.common.utils import polyak_update

OUT = Path(__file__).with_name("golden.json")
FEATURES, HIDDEN, D, ACTIONS = 3, 4, 2, 5
T, B = 6, 3
GAMMA, LAMBDA = 0.9, 0.8

rng = np.random.default_rng(0)
torch.set_default_dtype(torch.float64)
policies.preprocess_obs = lambda obs, *_, **__: obs  # it would make them float32
Network = list[torch.Tensor]


def normal(*shape: int, scale: float = 1.0) -> Any:
    """Numbers that take little room in the file."""
    return np.round(rng.normal(scale=scale, size=shape), 3)


def tensor(array: Any, learned: bool = False) -> torch.Tensor:
    made = torch.tensor(np.asarray(array, np.float64))
    return made.requires_grad_() if learned else made


def network(inputs: int, outputs: int, last: float = 1.0) -> list[np.ndarray]:
    first = normal(inputs, HIDDEN), normal(HIDDEN)
    return [*first, normal(HIDDEN, outputs, scale=last), normal(outputs, scale=last)]


def apply(weights: Network, x: torch.Tensor, activation: Any) -> torch.Tensor:
    return activation(x @ weights[0] + weights[1]) @ weights[2] + weights[3]


def with_gradients(loss: torch.Tensor, parameters: Network) -> dict[str, Any]:
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
    return {"loss": loss.item(), "gradients": [g.numpy() for g in gradients]}


def ends(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Terminated and truncated steps, some of each."""
    draw = rng.random(shape)
    return draw < 0.2, (draw >= 0.2) & (draw < 0.4)


def advantages() -> dict[str, Any]:
    """Stable-Baselines3's GAE. It knows one kind of end; of a truncation it adds the value of what
    would have followed to the reward, as its `collect_rollouts` does.
    """
    steps, lanes = 12, 3
    reward, value, beyond = normal(3, steps, lanes)
    terminated, truncated = ends(steps, lanes)
    done = terminated | truncated
    # Along an episode the next value is the next step's; beyond an end it is another.
    following = np.concatenate([value[1:], beyond[-1:]])
    next_value = np.where(done, beyond, following)
    box = gymnasium.spaces.Box(-1, 1, (1,))
    buffer = RolloutBuffer(steps, box, box, gae_lambda=LAMBDA, gamma=GAMMA, n_envs=lanes)
    buffer.rewards = reward + GAMMA * np.where(truncated, next_value, 0.0)
    buffer.values = value
    buffer.advantages = np.zeros_like(value)
    buffer.episode_starts = np.concatenate([np.zeros((1, lanes)), done[:-1]]).astype(float)
    buffer.compute_returns_and_advantage(tensor(next_value[-1]), done[-1])
    return {
        "reward": reward, "value": value, "next_value": next_value, "terminated": terminated,
        "truncated": truncated, "gamma": GAMMA, "lambda": LAMBDA, "advantage": buffer.advantages,
    }  # fmt: skip


def on_policy(kind: str) -> dict[str, Any]:
    """VPG's and PPO's losses of the policy, and the critic's, with an entropy cost."""
    cost, clip = 0.05, 0.2
    x, u = normal(T, B, FEATURES), normal(T, B, D)
    if kind == "categorical":
        u = rng.integers(ACTIONS, size=(T, B))
    advantage, target = normal(2, T, B)
    outputs = ACTIONS if kind == "categorical" else D
    before, now = network(FEATURES, outputs), network(FEATURES, outputs)
    # Near the old policy, so that some ratios are clipped and others are not.
    now = [np.round(old + 0.1 * new, 3) for old, new in zip(before, now, strict=True)]
    if kind != "categorical":
        before.append(normal(D, scale=0.3))
        now.append(np.round(before[-1] + normal(D, scale=0.1), 3))

    def evaluate(weights: Network) -> tuple[torch.Tensor, torch.Tensor]:
        out = apply(weights, tensor(x), torch.tanh)
        if kind == "categorical":
            choice = CategoricalDistribution(ACTIONS).proba_distribution(out.reshape(-1, ACTIONS))
            log_prob = choice.log_prob(torch.tensor(u).reshape(-1))
        else:
            mean = (torch.tanh(out) if kind == "bounded" else out).reshape(-1, D)
            choice = DiagGaussianDistribution(D).proba_distribution(mean, weights[4])
            log_prob = choice.log_prob(tensor(u).reshape(-1, D))
        entropy = choice.entropy()
        assert entropy is not None
        return log_prob.reshape(T, B), entropy.mean()

    with torch.no_grad():
        old_log_prob, _ = evaluate([tensor(w) for w in before])
    weights = [tensor(w, learned=True) for w in now]
    log_prob, entropy = evaluate(weights)
    a = tensor(advantage)
    ratio = torch.exp(log_prob - old_log_prob)
    # As in stable_baselines3.ppo.PPO.train.
    clipped = -torch.min(a * ratio, a * torch.clamp(ratio, 1 - clip, 1 + clip)).mean()
    log_ratio = log_prob - old_log_prob
    share = (torch.abs(ratio - 1) > clip).double().mean().item()
    assert 0.2 < share < 0.8, share
    value = network(FEATURES, 1)
    critic = [tensor(w, learned=True) for w in value]
    error = torch.nn.functional.mse_loss(
        apply(critic, tensor(x), torch.tanh)[..., 0], tensor(target)
    )
    plain = -(log_prob * a).mean()
    return {
        "x": x, "u": u, "advantage": advantage, "target": target, "entropy_cost": cost,
        "clip": clip, "before": before, "now": now, "critic": value,
        "log_prob": log_prob.detach().numpy(), "entropy": entropy.item(),
        "vpg": with_gradients(plain + cost * entropy, weights),
        "ppo": with_gradients(clipped + cost * entropy, weights),
        "kl": ((torch.exp(log_ratio) - 1) - log_ratio).mean().item(), "clipped": share,
        "critic_loss": with_gradients(error, critic),
    }  # fmt: skip


def softmax_f() -> dict[str, Any]:
    """A policy of two choices, of a point and of an action near it, whose temperature is learned
    together with the actor.
    """
    x, u, advantage = normal(T, B, FEATURES), normal(T, B, D), normal(T, B)
    action, table = rng.integers(ACTIONS, size=(T, B)), normal(ACTIONS, D)
    arrays = [*network(FEATURES, D), normal(D, scale=0.3), normal(scale=0.3)]
    weights = [tensor(w, learned=True) for w in arrays]
    mean = apply(weights, tensor(x), torch.tanh).reshape(-1, D)
    point = DiagGaussianDistribution(D).proba_distribution(mean, weights[4])
    distance = ((tensor(u)[..., None, :] - tensor(table)) ** 2).sum(-1)
    near = torch.distributions.Categorical(logits=-distance / torch.exp(weights[5]))
    log_prob = point.log_prob(tensor(u).reshape(-1, D)).reshape(T, B)
    log_prob = log_prob + near.log_prob(torch.tensor(action))
    return {
        "x": x, "u": u, "advantage": advantage, "action": action, "table": table, "policy": arrays,
        "vpg": with_gradients(-(log_prob * tensor(advantage)).mean(), weights),
    }  # fmt: skip


def q_network(inputs: int, outputs: int) -> list[np.ndarray]:
    """Twins, stacked."""
    pair = network(inputs, outputs), network(inputs, outputs)
    return [np.stack(arrays) for arrays in zip(*pair, strict=True)]


def twins(weights: Network, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([apply([w[k] for w in weights], x, torch.relu) for k in (0, 1)])


def after_polyak(slow: list[np.ndarray], now: list[np.ndarray], tau: float) -> list[np.ndarray]:
    moved = [tensor(w) for w in slow]
    polyak_update([tensor(w) for w in now], moved, tau)
    return [w.numpy() for w in moved]


def soft(kind: str) -> dict[str, Any]:
    """SAC's losses: of the critics, of the actor and of alpha."""
    n, alpha, target_entropy, tau = 16, 0.3, -1.5, 0.05
    x, next_x, reward = normal(n, FEATURES), normal(n, FEATURES), normal(n)
    terminated, truncated = ends(n)
    noise = normal(2, n, D)
    points = kind == "points"
    u = np.round(np.tanh(normal(n, D)), 3) if points else rng.integers(ACTIONS, size=n)
    actor = network(FEATURES, 2 * D if points else ACTIONS, last=0.2)
    critic = q_network(FEATURES + D if points else FEATURES, 1 if points else ACTIONS)
    slow = [np.round(w + normal(*w.shape, scale=0.1), 3) for w in critic]

    def outlook(actor: Network, critic: Network, x: torch.Tensor, noise: Any) -> Any:
        """The lower value and the entropy, of each state."""
        out = apply(actor, x, torch.relu)
        if not points:
            # Christodoulou 2019, eq. 10 and 12: expectations over all actions.
            choice = torch.distributions.Categorical(logits=out)
            return (choice.probs * twins(critic, x).min(0).values).sum(-1), choice.entropy()
        choice = SquashedDiagGaussianDistribution(D, epsilon=0.0)
        choice = choice.proba_distribution(out[:, :D], torch.clamp(out[:, D:], -20, 2))
        before = out[:, :D] + torch.exp(torch.clamp(out[:, D:], -20, 2)) * tensor(noise)
        e = torch.tanh(before)
        log_prob = choice.log_prob(e, before)
        return twins(critic, torch.cat([x, e], -1))[..., 0].min(0).values, -log_prob

    policy = [tensor(w, learned=True) for w in actor]
    q = [tensor(w, learned=True) for w in critic]
    with torch.no_grad():
        value, entropy = outlook(policy, [tensor(w) for w in slow], tensor(next_x), noise[0])
        target = tensor(reward) + GAMMA * (1 - tensor(terminated)) * (value + alpha * entropy)
    if points:
        now = twins(q, torch.cat([tensor(x), tensor(u)], -1))[..., 0]
    else:
        now = twins(q, tensor(x))[:, torch.arange(n), torch.tensor(u)]
    error = 0.5 * sum(torch.nn.functional.mse_loss(one, target) for one in now)
    assert isinstance(error, torch.Tensor)
    value, entropy = outlook(policy, q, tensor(x), noise[1])
    log_alpha = tensor(np.log(alpha), learned=True)
    alpha_loss = -(log_alpha * (-entropy + target_entropy).detach()).mean()
    return {
        "x": x, "u": u, "reward": reward, "next_x": next_x, "terminated": terminated,
        "truncated": truncated, "noise": noise, "alpha": alpha, "gamma": GAMMA,
        "target_entropy": target_entropy, "tau": tau, "actor": actor, "critic": critic,
        "slow": slow, "targets": target.numpy(), "entropy": entropy.mean().item(),
        "critic_loss": with_gradients(error, q),
        "actor_loss": with_gradients(-(value + alpha * entropy).mean(), policy),
        "alpha_loss": with_gradients(alpha_loss, [log_alpha]),
        "polyak": after_polyak(slow, critic, tau),
    }  # fmt: skip


class Still(gymnasium.Env):
    """Spaces, and nothing that moves."""

    observation_space = gymnasium.spaces.Box(-10, 10, (FEATURES,))

    def __init__(self, action_space: gymnasium.Space) -> None:
        self.action_space = action_space


def put(layers: Any, weights: list[np.ndarray]) -> None:
    """Weights of linear layers, in our layout."""
    linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        for index, layer in enumerate(linear):
            layer.weight.copy_(torch.tensor(weights[2 * index].T))
            layer.bias.copy_(torch.tensor(weights[2 * index + 1]))


def take(layers: Any) -> list[np.ndarray]:
    linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    return [array.detach().numpy() for layer in linear for array in (layer.weight.T, layer.bias)]


def ppo_training(kind: str, target_kl: float | None) -> dict[str, Any]:
    """Stable-Baselines3's PPO on one rollout: full batches, then what the weights are."""
    rate, passes = 0.01, 5
    space: gymnasium.Space = gymnasium.spaces.Box(-1, 1, (D,))
    if kind == "categorical":
        space = gymnasium.spaces.Discrete(ACTIONS)
    model = PPO(
        "MlpPolicy", Still(space), learning_rate=rate, n_steps=T * B, batch_size=T * B,
        n_epochs=passes, clip_range=0.2, ent_coef=-0.05, vf_coef=1.0, max_grad_norm=1e9,
        normalize_advantage=False, target_kl=target_kl, device="cpu",
        policy_kwargs={"net_arch": [HIDDEN]},
    )  # fmt: skip
    model.set_logger(Logger(None, []))
    outputs = ACTIONS if kind == "categorical" else D
    actor, critic = network(FEATURES, outputs), network(FEATURES, 1)
    policy = model.policy
    actor_layers = [*policy.mlp_extractor.policy_net, policy.action_net]
    critic_layers = [*policy.mlp_extractor.value_net, policy.value_net]
    put(actor_layers, actor)
    put(critic_layers, critic)
    log_std = normal(D, scale=0.3)
    if kind != "categorical":
        with torch.no_grad():
            policy.log_std.copy_(torch.tensor(log_std))
    x, reward = normal(T, B, FEATURES), normal(T, B)
    u = normal(T, B, D) if kind != "categorical" else rng.integers(ACTIONS, size=(T, B))
    # Every episode has one step, so that advantages need no critic but that of x.
    flat = torch.tensor(x.reshape(T * B, FEATURES))
    actions = torch.tensor(u.reshape(T * B, -1))
    with torch.no_grad():
        values, log_prob, _ = policy.evaluate_actions(
            flat, actions.long().flatten() if kind == "categorical" else actions
        )
    values = values.flatten()
    target = torch.tensor(reward.reshape(-1))
    advantage = target - values
    advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
    samples = RolloutBufferSamples(flat, actions, values, log_prob, advantage, target)
    model.rollout_buffer.get = lambda batch_size: iter([samples])  # type: ignore[method-assign]
    model.train()
    spread = [] if kind == "categorical" else [policy.log_std.detach().numpy()]
    steps = 0 if not policy.optimizer.state else int(
        next(iter(policy.optimizer.state.values()))["step"].item()
    )  # fmt: skip
    return {
        "x": x, "u": u, "reward": reward, "rate": rate, "passes": passes,
        "target_kl": target_kl or 0.0, "entropy_cost": 0.05, "steps": steps,
        "actor": [*actor, *([] if kind == "categorical" else [log_std])], "critic": critic,
        "new_actor": [*take(actor_layers), *spread],
        "new_critic": take(critic_layers),
    }  # fmt: skip


def sac_training() -> dict[str, Any]:
    """Stable-Baselines3's SAC on three fixed batches, with a learned alpha."""
    rate, count, n, tau, alpha = 0.01, 3, 16, 0.05, 0.3
    space = gymnasium.spaces.Box(-1, 1, (D,))
    model = SAC(
        "MlpPolicy", Still(space), learning_rate=rate, tau=tau, gamma=GAMMA, batch_size=n,
        buffer_size=1, ent_coef=f"auto_{alpha}", target_entropy=-1.5, device="cpu",
        policy_kwargs={"net_arch": [HIDDEN]},
    )  # fmt: skip
    model.set_logger(Logger(None, []))
    actor, critic = network(FEATURES, 2 * D, last=0.2), q_network(FEATURES + D, 1)
    heads = model.actor
    put(heads.latent_pi, actor[:2])
    put([heads.mu], [actor[2][:, :D], actor[3][:D]])
    put([heads.log_std], [actor[2][:, D:], actor[3][D:]])
    for k in (0, 1):
        put(model.critic.q_networks[k], [w[k] for w in critic])
        put(model.critic_target.q_networks[k], [w[k] for w in critic])
    heads.action_dist.epsilon = 0.0
    x, next_x = normal(2, count, n, FEATURES)
    u, reward = np.round(np.tanh(normal(count, n, D)), 3), normal(count, n)
    terminated, _ = ends(count, n)
    # SB3 draws for x, then for x'; each of our updates takes [x', x].
    noise = normal(count, 2, n, D)
    draws = iter(torch.tensor(noise[:, ::-1].copy()).reshape(-1, n, D))
    torch.distributions.normal._standard_normal = lambda *_, **__: next(draws)
    column = [tensor(a) for a in (x, u, next_x, terminated, reward)]
    batches = iter(
        ReplayBufferSamples(xs, us, nexts, done[:, None], rewards[:, None])
        for xs, us, nexts, done, rewards in zip(*column, strict=True)
    )
    model.replay_buffer.sample = lambda *_, **__: next(batches)  # type: ignore[union-attr]
    model.train(gradient_steps=count, batch_size=n)

    def stacked(critics: Any) -> list[np.ndarray]:
        pairs = zip(*(take(critics.q_networks[k]) for k in (0, 1)), strict=True)
        return [np.stack(pair) for pair in pairs]

    mu, log_std = take([heads.mu]), take([heads.log_std])
    assert model.log_ent_coef is not None
    return {
        "x": x, "u": u, "next_x": next_x, "reward": reward, "terminated": terminated,
        "noise": noise, "rate": rate, "tau": tau, "gamma": GAMMA, "alpha": alpha,
        "target_entropy": -1.5, "actor": actor, "critic": critic,
        "new_actor": [
            *take(heads.latent_pi),
            *(np.concatenate(pair, axis=-1) for pair in zip(mu, log_std, strict=True)),
        ],
        "new_critic": stacked(model.critic), "new_slow": stacked(model.critic_target),
        "new_log_alpha": model.log_ent_coef.item(),
    }  # fmt: skip


def plain(value: Any) -> Any:
    """For JSON, with 12 digits."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    return float(f"{value:.12g}") if isinstance(value, float) else value


if __name__ == "__main__":
    golden = {
        "gae": advantages(),
        "on_policy": {kind: on_policy(kind) for kind in ("gaussian", "bounded", "categorical")},
        "softmax_f": softmax_f(),
        "sac": {kind: soft(kind) for kind in ("points", "indices")},
        "ppo_training": {
            "gaussian": ppo_training("gaussian", None),
            "categorical": ppo_training("categorical", None),
            "stopped": ppo_training("gaussian", 0.003),
        },
        "sac_training": sac_training(),
    }
    OUT.write_text(json.dumps(plain(golden), allow_nan=False) + "\n")
