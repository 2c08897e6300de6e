"""Replies chosen by their sentence vectors, beside other ways to choose among the same ones.

    python results/chatbot.py [--seeds 10] [--timesteps 40000] [--replies 2000]

Every arm learns from the same number of ratings by simulated users of conversations for training,
and is judged by users who speak held-out conversations. `text` computes g from the sentence vectors
of replies, `random` from as many random numbers, `rows` learns a row for each reply; `none` is PPO
on replies as they are. All may first imitate the corpus (supervised). Half of the replies are never
chosen in training (`new`): afterwards policies choose among these alone, or the other half alone.

Writes results/chatbot: one JSON file an arm, table.md. Arms that have a file are not run again.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from embrl.config.defaults import default_config
from embrl.config.settings_by_name import replaced
from embrl.core.runtime import machine, prepare_jax
from embrl.core.statistics import bootstrap_mean
from embrl.envs.chatbot import Chatbot, ChatbotConfig
from embrl.envs.chatbot.policies import policy_returns
from embrl.storage.files import write_json, write_text
from embrl.training.action_inputs import ActionInputs
from embrl.training.evaluation import play
from embrl.training.replicas import seed_keys
from embrl.training.trainer import Trainer

OUT = Path(__file__).parent / "chatbot"
STEPS, ENVS = 2000, 100
"""Environment steps of an update, and parallel environments."""
EPISODES = 500
PRETRAINING = 10_000

ARMS = {
    "text": "text features",
    "random": "random features",
    "rows": "a row each",
    "none": "no embedding",
    "new": "text features, half of the replies held out",
    "new-random": "random features, half of the replies held out",
}
"""Arms, and what they are called in the table."""

PROGRAMS: dict[Any, Any] = {}
"""Compiled programs by kind of arm."""


def settings(arm: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of an arm; all have the same budget of timesteps."""
    found: dict[str, Any] = {
        "total_timesteps": given.timesteps,
        "imitation.gradient_steps": given.supervised,
        "imitation.batch_size": 128,
        "policy.hidden": (64, 64),
        "rollout.steps_per_update": STEPS,
        "rollout.num_envs": ENVS,
        "evaluation.every": STEPS,
        "exploration.bonus": 0.0,
        "ppo.actor_lr": given.actor_lr,
        "ppo.critic_lr": 3e-3,
        "ppo.gamma": 0.95,
        "ppo.gae_lambda": 0.9,
        "ppo.ent_coef": 0.0,
        "ppo.update_epochs": 5,
        "ppo.critic_epochs": 5,
        "ppo.num_minibatches": 4,
        "ppo.scale_by_std": False,
    }
    if arm == "none":
        return found
    return found | {
        "embedding.state_dim": 32,
        "embedding.action_dim": 8,
        "embedding.action_features": "" if arm == "rows" else "env",
        "pretrain.timesteps": PRETRAINING,
        "pretrain.gradient_steps": 300,
        "online.every": 0,
        "policy.inputs": "both",
        "policy.std": given.std,
        "rollout.buffer_size": PRETRAINING,
    }


def trained(arm: str, env: Chatbot, held_out: Chatbot, given: argparse.Namespace) -> dict[str, Any]:
    """Return returns of held-out users before and after updates, `[seeds, 1 + stages]`."""
    method = "none" if arm == "none" else "jsae"
    config = ChatbotConfig(max_replies=given.replies)
    base = default_config("chatbot", config, method, "ppo", built=env, total_timesteps=1_000_000)
    config = replaced(base, settings(arm, given))
    replies = env.reply_vectors.shape[0]
    new = arm.startswith("new")
    old = np.random.default_rng(2).permutation(replies) < replies // 2
    inputs = ActionInputs(None, old if new else None)
    if config.method != "none" and config.embedding.action_features:
        features = env.action_features()
        if arm in ("random", "new-random"):
            features = np.random.default_rng(3).normal(size=features.shape).astype(np.float32)
        inputs = dataclasses.replace(inputs, features=features)
    trainer = Trainer(
        config, env.observation_space, env.action_space, action_inputs=inputs, env=env
    )
    trainer.validate()
    start_at = PRETRAINING if method == "jsae" else 0
    updates = (given.timesteps - start_at) // STEPS
    stages = np.linspace(0, updates, given.stages + 1).astype(np.int32)

    def returns(
        env: Chatbot, policy: Any, key: Any, allowed: Any = None, likeliest: bool = False
    ) -> jax.Array:
        if allowed is not None:
            policy = dataclasses.replace(policy, allowed=jnp.asarray(allowed))

        def act(key: Any, seen: Any, mask: Any) -> jax.Array:
            del mask
            if likeliest:
                return policy.mode(seen)
            return policy.act(seen, policy.noise(key, (EPISODES,)))[0]

        return play(env, act, key, EPISODES, env.step_limit).returns.mean()

    def one(env: Chatbot, held_out: Chatbot, features: Any, key: Any) -> dict[str, jax.Array]:
        embedding = data = None
        if method == "jsae":
            data = trainer.collect(env, key)
            train, _ = trainer.split(data)
            fitted = trainer.new_model(key, train, features)
            steps = jnp.arange(config.pretrain.gradient_steps)
            embedding = trainer.fit(fitted, train, key, steps)[0].model
        state = trainer.start(env, key, trainer.new_agent(key, embedding), data)
        state = trainer.imitate(env, state, key)
        judge_key = jax.random.fold_in(key, 99)

        def stage(state: Any, bounds: jax.Array) -> tuple[Any, jax.Array]:
            first, count = bounds[0], bounds[1] - bounds[0]
            state, _ = trainer.iterate(env, state, key, first, count)
            return state, both(trainer.policy(state.agent))

        def both(policy: Any) -> jax.Array:
            sampled = returns(held_out, policy, judge_key)
            return jnp.stack([sampled, returns(held_out, policy, judge_key, likeliest=True)])

        begun = both(trainer.policy(state.agent))
        bounds = jnp.asarray(np.stack([stages[:-1], stages[1:]], 1))
        state, later = jax.lax.scan(stage, state, bounds)
        policy = trainer.policy(state.agent)
        curves = jnp.concatenate([begun[None], later])
        found = {
            "held_out": curves[:, 0],
            "likeliest": curves[:, 1],
            "trained": returns(env, policy, judge_key),
        }
        if new:
            found["old_half"] = returns(held_out, policy, judge_key, old)
            found["new_half"] = returns(held_out, policy, judge_key, ~old)
        return found

    start = time.perf_counter()
    # Arms with features are the same program.
    kind = (method, new, bool(config.method != "none" and config.embedding.action_features))
    if kind not in PROGRAMS:
        PROGRAMS[kind] = jax.jit(lambda *a: jax.lax.map(lambda key: one(*a[:3], key), a[3]))
    given_features = None if inputs.features is None else jnp.asarray(inputs.features)
    found = PROGRAMS[kind](env, held_out, given_features, seed_keys(0, given.seeds))
    return {
        "arm": arm,
        "timesteps": [int(start_at + STEPS * at) for at in stages],
        **{name: np.asarray(values, float).tolist() for name, values in found.items()},
        "settings": {
            name: getattr(given, name) for name in ("replies", "supervised", "std", "actor_lr")
        },
        "wall_s": time.perf_counter() - start,
        "machine": machine(),
    }


def shown(values: Any) -> str:
    """Return a mean and its interval."""
    mean, low, high = (float(x) for x in bootstrap_mean(np.asarray(values)))
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def table(arms: list[dict[str, Any]], rivals: dict[str, dict[str, float]]) -> str:
    """Return the table of all arms that were run; shares are of the oracle's return."""
    best = rivals["held_out"]["oracle_return"]
    retrieved = max(
        rivals["held_out"][f"{name}_return"] for name in ("nearest_reply", "nearest_message")
    )
    rows = [
        "| replies chosen by | held-out users | the likeliest reply | share of the oracle's | "
        "ahead of retrieval by | users of training |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for found in arms:
        curve = np.array(found["held_out"])
        name = ARMS[found["arm"]]
        greedy = np.array(found["likeliest"])
        best_of = max((curve[:, -1], greedy[:, -1]), key=np.mean)
        begun = f"{shown(curve[:, 0])} | {shown(greedy[:, 0])}"
        rows.append(f"| {name}, supervised alone | {begun} | | | |")
        rows.append(
            f"| {name}, then ratings | {shown(curve[:, -1])} | {shown(greedy[:, -1])} | "
            f"{best_of.mean() / best:.0%} | {shown(best_of - retrieved)} | "
            f"{shown(found['trained'])} |"
        )
        if "new_half" in found:
            rows.append(f"| the half trained on, alone | {shown(found['old_half'])} | | | | |")
            rows.append(f"| the half held out, alone | {shown(found['new_half'])} | | | | |")
    for name, value in rivals["held_out"].items():
        if name != "best_known_return":
            text = name.removesuffix("_return").replace("_", " ")
            trained_on = rivals["trained"][name]
            rows.append(f"| {text} | {value:.2f} | | {value / best:.0%} | | {trained_on:.2f} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Run the arms that have no file yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--timesteps", type=int, default=40_000)
    parser.add_argument("--replies", type=int, default=2000)
    parser.add_argument("--supervised", type=int, default=300, help="gradient steps")
    parser.add_argument("--stages", type=int, default=3, help="evaluations after the first")
    parser.add_argument("--actor-lr", type=float, default=1e-3)
    parser.add_argument("--std", type=float, default=0.4)
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    prepare_jax()
    given.out.mkdir(parents=True, exist_ok=True)
    env = ChatbotConfig(max_replies=given.replies).build()
    held_out = ChatbotConfig(max_replies=given.replies, users="held_out").build()
    path = given.out / "rivals.json"
    if not path.exists():
        rivals = {
            name: {
                f"{policy}_return": float(values.mean())
                for policy, values in policy_returns(each, jax.random.key(0)).items()
            }
            for name, each in (("trained", env), ("held_out", held_out))
        }
        write_json(path, rivals)
    rivals = json.loads(path.read_text())
    print(rivals, flush=True)
    for arm in given.arms:
        path = given.out / f"arm-{arm}.json"
        if not path.exists():
            found = trained(arm, env, held_out, given)
            write_json(path, found)
            print(arm, found["wall_s"], np.mean(found["held_out"], 0), flush=True)
        arms = [json.loads(p.read_text()) for p in sorted(given.out.glob("arm-*.json"))]
        write_text(given.out / "table.md", table(arms, rivals))
    print((given.out / "table.md").read_text())


if __name__ == "__main__":
    main()
