"""Replies chosen by their sentence vectors, beside other ways to choose among the same ones.

    python results/chatbot.py [--seeds 10] [--timesteps 110000] [--replies 8000]

All arms choose from a shortlist of the replies nearest to the message, first imitate retrieval (the
nearest of them), and then learn from the same number of ratings by simulated users of conversations
for training; they are judged by users who speak held-out conversations, every second of these:
settings were chosen with users who speak the others. `text` computes g from the
sentence vectors of replies, `random` from as many random numbers, `rows` learns a row for each
reply; `none` is PPO on replies as they are. With `new`, half of the replies are never chosen in
training: afterwards policies choose among these alone, or the other half alone.

Writes results/chatbot: one JSON file an arm, which grows by a seed at a time, and table.md. Seeds
that a file has are not run again.
"""

import argparse
import dataclasses
import itertools
import json
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from embrl.config.defaults import default_config
from embrl.config.settings_by_name import replaced
from embrl.core.runtime import machine, prepare_jax
from embrl.core.statistics import bootstrap_mean
from embrl.envs.chatbot import Chatbot, ChatbotConfig
from embrl.envs.chatbot.policies import policy_returns
from embrl.envs.environment import has_masks
from embrl.storage.files import write_json, write_text
from embrl.training.action_inputs import ActionInputs
from embrl.training.evaluation import play, random_return
from embrl.training.replicas import seed_keys
from embrl.training.trainer import Trainer

OUT = Path(__file__).parent / "chatbot"
STEPS, ENVS = 5000, 250
"""Environment steps of an update, and parallel environments."""
EPISODES = 2000
"""Episodes in which a seed is judged."""
RIVAL_EPISODES, RIVAL_KEYS = 20_000, 5
"""Episodes of rivals at a time, and how many times: they are played once, not for each seed."""
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

FIRST_SEED = 100
"""Seeds before it were used to choose settings."""


def settings(arm: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of an arm; all have the same budget of timesteps."""
    found: dict[str, Any] = {
        "total_timesteps": given.timesteps,
        "imitation.gradient_steps": given.supervised,
        "imitation.batch_size": 256,
        "policy.hidden": (256,),
        "policy.normalise": "off",
        "rollout.steps_per_update": STEPS,
        "rollout.num_envs": ENVS,
        "evaluation.every": STEPS,
        "exploration.bonus": 0.0,
        "ppo.actor_lr": given.actor_lr,
        "ppo.critic_lr": 1e-3,
        "ppo.gamma": 0.5,
        "ppo.gae_lambda": 0.9,
        "ppo.ent_coef": 0.0,
        "ppo.target_kl": 0.05,
        "ppo.update_epochs": 3,
        "ppo.critic_epochs": 5,
        "ppo.num_minibatches": 4,
        "ppo.scale_by_std": False,
    }
    if arm == "none":
        return found
    return found | {
        "embedding.state_dim": 32,
        "embedding.action_dim": given.dimensions,
        "embedding.action_hidden": (),
        "embedding.action_features": "" if arm == "rows" else "env",
        "pretrain.timesteps": PRETRAINING,
        "pretrain.gradient_steps": 300,
        "online.every": 0,
        "policy.inputs": "both",
        "policy.credit": "g(a)",
        "policy.std": given.std,
        "rollout.buffer_size": PRETRAINING,
    }


def half(env: Chatbot, part: int) -> Chatbot:
    """Return the environment with users who speak every second held-out conversation alone.

    Args:
        env: the environment of all users who speak held-out conversations.
        part: 0 for those that settings were chosen with, 1 for those that judge.
    """
    corpus = env.spoken.corpus
    speaks = corpus.held_out & (corpus.conversation % 2 == part)
    shares = np.diff(np.asarray(env.openings, np.float64), axis=1, prepend=0.0) * speaks
    openings = np.cumsum(shares, axis=1)
    openings /= openings[:, -1:]
    # Who takes up a reply with a sentence of the other half says what is most like that instead.
    vectors = np.asarray(env.message_vectors)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    places, taken_up = np.flatnonzero(speaks), np.asarray(env.taken_up)
    nearest = places[(vectors[taken_up] @ vectors[places].T).argmax(1)]
    taken_up = np.where(speaks[taken_up], taken_up, nearest).astype(np.int32)
    return eqx.tree_at(
        lambda env: (env.openings, env.taken_up),
        env,
        (jnp.asarray(openings, jnp.float32), jnp.asarray(taken_up)),
    )


class Arm:
    """A trainer of an arm, with its compiled programs."""

    def __init__(self, arm: str, env: Chatbot, held_out: Chatbot, given: argparse.Namespace):
        method = "none" if arm == "none" else "jsae"
        config = ChatbotConfig(max_replies=given.replies)
        base = default_config(
            "chatbot", config, method, "ppo", built=env, total_timesteps=1_000_000
        )
        config = replaced(base, settings(arm, given))
        replies = env.reply_vectors.shape[0]
        self.new = arm.startswith("new")
        self.old = np.random.default_rng(2).permutation(replies) < replies // 2
        inputs = ActionInputs(None, self.old if self.new else None)
        if method == "jsae" and config.embedding.action_features:
            features = env.action_features()
            if arm in ("random", "new-random"):
                features = np.random.default_rng(3).normal(size=features.shape)
            features = features.astype(np.float32)
            inputs = dataclasses.replace(inputs, features=features)
        self.trainer = Trainer(
            config,
            env.observation_space,
            env.action_space,
            action_inputs=inputs,
            env=env,
            masked=has_masks(env),
        )
        self.trainer.validate()
        self.env, self.held_out = env, held_out
        self.pretrains = method == "jsae"
        start_at = PRETRAINING if self.pretrains else 0
        updates = (given.timesteps - start_at) // STEPS
        self.stages = np.linspace(0, updates, given.stages + 1).astype(np.int32)
        self.timesteps = [int(start_at + STEPS * at) for at in self.stages]
        self._begin, self._iterate = jax.jit(self.begin), jax.jit(self.trainer.iterate)
        self._judge = jax.jit(self.judge)

    def begin(self, env: Chatbot, key: Any, features: Any) -> Any:
        """Return the state after pre-training and imitation; features are those of replies."""
        trainer, embedding, data = self.trainer, None, None
        if self.pretrains:
            data = trainer.collect(env, key)
            # Features are an argument: as constants, XLA would compute with them while it compiles.
            train = trainer.split(data)[0]
            fitted = trainer.new_model(key, train, features)
            steps = jnp.arange(trainer.config.pretrain.gradient_steps)
            embedding = trainer.fit(fitted, train, key, steps)[0].model
        state = trainer.start(env, key, trainer.new_agent(key, embedding), data)
        return trainer.imitate(env, state, key)

    def judge(self, env: Chatbot, state: Any, key: Any, allowed: Any) -> jax.Array:
        """Return mean returns of drawn replies and of the likeliest ones."""
        policy = self.trainer.policy(state.agent)
        policy = dataclasses.replace(policy, allowed=allowed)
        key = jax.random.fold_in(key, 99)

        def drawn(key: Any, seen: Any, mask: Any) -> jax.Array:
            return policy.act(seen, policy.noise(key, (EPISODES,)), mask)[0]

        def likeliest(key: Any, seen: Any, mask: Any) -> jax.Array:
            del key
            return policy.mode(seen, mask)

        return jnp.stack(
            [
                play(env, act, key, EPISODES, env.step_limit).returns.mean()
                for act in (drawn, likeliest)
            ]
        )

    def run(self, seed: int) -> dict[str, Any]:
        """Return returns `[stages + 1]` of held-out users, and others at the end."""
        key = seed_keys(seed, 1)[0]
        state = self._begin(self.env, key, self.trainer.action_inputs.features)
        every = jnp.ones(self.old.shape, bool)
        usual = jnp.asarray(self.old) if self.new else every
        curves = [self._judge(self.held_out, state, key, usual)]
        for first, end in itertools.pairwise(self.stages):
            count = jnp.int32(end - first)
            state, _ = self._iterate(self.env, state, key, jnp.int32(first), count)
            curves.append(self._judge(self.held_out, state, key, usual))
            print(seed, np.round(curves[-1], 2), flush=True)
        found = {"held_out": curves, "trained": self._judge(self.env, state, key, usual)}
        if self.new:
            found["new_half"] = self._judge(self.held_out, state, key, jnp.asarray(~self.old))
        return {"seed": seed, **{name: np.asarray(v).tolist() for name, v in found.items()}}


def shown(values: Any) -> str:
    """Return a mean and its interval."""
    mean, low, high = (float(x) for x in bootstrap_mean(np.asarray(values)))
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def table(arms: list[dict[str, Any]], rivals: dict[str, dict[str, float]]) -> str:
    """Return the table of all arms that were run.

    Shares, and how far an arm is ahead, are of the likeliest replies: retrieval draws none either.
    """
    best = rivals["held_out"]["oracle_return"]
    retrieved = max(
        rivals["held_out"][f"{name}_return"] for name in ("nearest_reply", "nearest_message")
    )
    rows = [
        "| replies chosen by | seeds | held-out users | the likeliest reply | share of the "
        "oracle's | ahead of retrieval by | users of training |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for found in arms:
        curve = np.array([run["held_out"] for run in found["runs"]])  # [seeds, stages, 2]
        trained = np.array([run["trained"] for run in found["runs"]])[:, 0]
        name, drawn, likeliest = ARMS[found["arm"]], curve[..., 0], curve[..., 1]
        for stage, said in ((0, "imitation of retrieval alone"), (-1, "then ratings")):
            users = shown(trained) if stage else ""
            rows.append(
                f"| {name}, {said} | {len(curve)} | {shown(drawn[:, stage])} | "
                f"{shown(likeliest[:, stage])} | {likeliest[:, stage].mean() / best:.0%} | "
                f"{shown(likeliest[:, stage] - retrieved)} | {users} |"
            )
        gains = (shown(each[:, -1] - each[:, 0]) for each in (drawn, likeliest))
        rows.append(f"| gain by ratings | {len(curve)} | {' | '.join(gains)} | | | |")
        if "new_half" in found["runs"][0]:
            half = np.array([run["new_half"] for run in found["runs"]])[:, 0]
            rows.append(f"| the half held out, alone | {len(half)} | {shown(half)} | | | | |")
    for name, value in rivals["held_out"].items():
        if name != "best_known_return":
            text = name.removesuffix("_return").replace("_", " ")
            trained_on = rivals["trained"][name]
            rows.append(f"| {text} | | {value:.2f} | | {value / best:.0%} | | {trained_on:.2f} |")
    return "\n".join(rows) + "\n"


def rivals_of(env: Chatbot) -> dict[str, float]:
    """Return mean returns of rivals, and of random replies of the shortlist."""
    keys = jax.random.split(jax.random.key(0), RIVAL_KEYS)
    played = [policy_returns(env, key, RIVAL_EPISODES) for key in keys]
    found = {name: float(np.mean([each[name] for each in played])) for name in played[0]}
    found["random_reply_of_the_shortlist"] = random_return(env, keys[0], RIVAL_EPISODES)
    return {f"{name}_return": value for name, value in found.items()}


def main() -> None:
    """Run the seeds that no file has yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--timesteps", type=int, default=110_000)
    parser.add_argument("--replies", type=int, default=8000)
    parser.add_argument("--shortlist", type=int, default=16)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--supervised", type=int, default=200, help="gradient steps")
    parser.add_argument("--stages", type=int, default=1, help="evaluations after the first")
    parser.add_argument("--actor-lr", type=float, default=5e-4)
    parser.add_argument("--std", type=float, default=0.2)
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    prepare_jax()
    given.out.mkdir(parents=True, exist_ok=True)
    config = ChatbotConfig(
        max_replies=given.replies,
        shortlist=given.shortlist,
        dimensions=given.dimensions,
        expert="nearest_reply",
    )
    env = config.build()
    held_out = half(dataclasses.replace(config, users="held_out").build(), 1)
    path = given.out / "rivals.json"
    if not path.exists():
        write_json(path, {"trained": rivals_of(env), "held_out": rivals_of(held_out)})
    rivals = json.loads(path.read_text())
    print(rivals, flush=True)
    used = {name: value for name, value in vars(given).items() if name not in ("arms", "out")}
    for arm in given.arms:
        path = given.out / f"arm-{arm}.json"
        found = json.loads(path.read_text()) if path.exists() else {"arm": arm, "runs": []}
        trained = Arm(arm, env, held_out, given)
        for seed in range(FIRST_SEED + len(found["runs"]), FIRST_SEED + given.seeds):
            start = time.perf_counter()
            found["runs"].append(trained.run(seed) | {"wall_s": time.perf_counter() - start})
            found |= {"timesteps": trained.timesteps, "settings": used, "machine": machine()}
            write_json(path, found)
            arms = [json.loads(p.read_text()) for p in sorted(given.out.glob("arm-*.json"))]
            write_text(given.out / "table.md", table(arms, rivals))
    print((given.out / "table.md").read_text())


if __name__ == "__main__":
    main()
