"""Numbers translated word by word: supervised training, rewards of whole sentences, and both.

    python results/translation.py [--seeds 10] [--updates 40] [--shown 400]

Numbers from 0 to 9,999 spelled in English are written in French or Spanish. An expert translates
some of the 8,000 numbers for training; rewards (chrF of whole sentences) are given for all of
these; 2,000 others are held out, and the table is about them alone. A policy that began with the
expert's words, one that only had these, and one that had none but rewards; with JSAE over words and
states, and without an embedding.

Writes results/translation: one JSON file an arm, table.md. Arms that have a file are not run again.
"""

import argparse
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
from embrl.envs.translation import Translation, TranslationConfig
from embrl.storage.files import write_json, write_text
from embrl.training.replicas import seed_keys
from embrl.training.trainer import Trainer

OUT = Path(__file__).parent / "translation"
PAIRS = {"en-fr": "English to French", "en-es": "English to Spanish"}
STEPS = 2000
"""Environment steps of an update."""


def judged(env: Translation, policy: Any) -> jax.Array:
    """Return the share of right translations and the mean chrF of the most likely words."""
    states, seen = jax.vmap(lambda n: _asked(env, n))(env.asked)

    def write(now: Any, _: None) -> tuple[Any, None]:
        states, seen, ended = now
        after, step = jax.vmap(env.step, (None, 0, 0))(
            jax.random.key(0), states, jnp.where(ended, 0, policy.mode(seen))
        )
        return (after, step.observation, ended | step.terminated), None

    start = (states, seen, jnp.zeros(len(env.asked), bool))
    (states, _, _), _ = jax.lax.scan(write, start, None, env.step_limit)
    right = (states.written == env.target[env.asked]).all(1).mean()
    batched = jax.lax.map(
        lambda pair: env.chrf(*pair), (states.written, env.target[env.asked]), batch_size=250
    )
    return jnp.stack([right, batched.mean()])


def _asked(env: Translation, number: jax.Array) -> Any:
    state, _ = env.reset(jax.random.key(0))
    state = state._replace(sentence=number)
    return state, env._observe(state)


def trained(pair: str, method: str, supervised: int, given: argparse.Namespace) -> dict[str, Any]:
    """Return curves on held-out numbers: `[seeds, 1 + stages, 2]`, before and after updates."""
    config = TranslationConfig(pair, demonstrated=given.shown)
    env = config.build()
    held_out = TranslationConfig(pair, sentences="held_out").build()
    settings = {
        "imitation.gradient_steps": supervised,
        "imitation.batch_size": 256,
        "policy.hidden": (256, 256),
        "policy.inputs": "both",
        "rollout.steps_per_update": STEPS,
        "rollout.num_envs": 100,
        "evaluation.every": STEPS * given.every,
        "exploration.bonus": 0.0,
        "ppo.actor_lr": 3e-4 if supervised else 1e-3,
        "ppo.critic_lr": 1e-3,
        "ppo.gamma": 1.0,
        "ppo.gae_lambda": 0.95,
        "ppo.ent_coef": 0.0,
        "ppo.update_epochs": 4,
        "ppo.critic_epochs": 4,
        "ppo.num_minibatches": 4,
        "ppo.scale_by_std": False,
    }
    total = STEPS * given.updates
    if method == "jsae":
        settings |= {
            "pretrain.timesteps": 10_000,
            "pretrain.gradient_steps": 300,
            "online.every": 0,
            # 13 and 15 words do not fit into 16 numbers, the default.
            "embedding.state_dim": 256,
            "embedding.action_dim": 32,
        }
        total += 10_000
    else:
        settings.pop("policy.inputs")
    settings["total_timesteps"] = total
    base = default_config("translation", config, method, "ppo", total_timesteps=1_000_000)
    trainer = Trainer.of(replaced(base, settings), env)

    def one(env: Translation, held_out: Translation, key: Any) -> jax.Array:
        embedding = data = None
        if method == "jsae":
            data = trainer.collect(env, key)
            embedding = trainer.pretrain(key, trainer.split(data)[0])
        state = trainer.start(env, key, trainer.new_agent(key, embedding), data)
        state = trainer.imitate(env, state, key)

        def stage(state: Any, first: jax.Array) -> tuple[Any, jax.Array]:
            state, _ = trainer.iterate(env, state, key, first, jnp.int32(given.every))
            return state, judged(held_out, trainer.policy(state.agent))

        begun = judged(held_out, trainer.policy(state.agent))
        firsts = jnp.arange(0, given.updates, given.every, dtype=jnp.int32)
        _, later = jax.lax.scan(stage, state, firsts)
        return jnp.concatenate([begun[None], later])

    start = time.perf_counter()
    every = jax.jit(lambda *a: jax.lax.map(lambda key: one(a[0], a[1], key), a[2]))
    curves = np.asarray(every(env, held_out, seed_keys(0, given.seeds)), float)
    before = 10_000 if method == "jsae" else 0
    steps = [before + STEPS * given.every * at for at in range(curves.shape[1])]
    return {
        "pair": pair,
        "method": method,
        "supervised_steps": supervised,
        "shown": given.shown,
        "timesteps": steps,
        "exact": curves[..., 0].tolist(),
        "chrf": curves[..., 1].tolist(),
        "wall_s": time.perf_counter() - start,
        "machine": machine(),
    }


def shown(values: np.ndarray) -> str:
    """Return a mean and its interval in percent."""
    mean, low, high = (100 * float(x) for x in bootstrap_mean(np.asarray(values)))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def to_half(found: dict[str, Any]) -> str:
    """Return mean timesteps to an exact share of .5, and the seeds that got there."""
    reached = [
        found["timesteps"][int(np.argmax(np.array(curve) >= 0.5))]
        for curve in found["exact"]
        if max(curve) >= 0.5
    ]
    seeds = len(found["exact"])
    return (
        f"{np.mean(reached):,.0f} ({len(reached)} of {seeds})" if reached else f"- (0 of {seeds})"
    )


def table(arms: list[dict[str, Any]]) -> str:
    """Return the table of all arms that were run."""
    rows = [
        "| languages | embedding | training | right, % | chrF | gain by rewards, right | "
        "timesteps to half right |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for found in arms:
        exact, chrf = np.array(found["exact"]), np.array(found["chrf"])
        name = {"jsae": "JSAE", "none": "none"}[found["method"]]
        begin = f"| {PAIRS[found['pair']]} | {name} |"
        if found["supervised_steps"]:
            rows.append(
                f"{begin} supervised alone | {shown(exact[:, 0])} | {shown(chrf[:, 0])} | | |"
            )
            gain = shown(exact[:, -1] - exact[:, 0])
            rows.append(
                f"{begin} supervised, then rewards | {shown(exact[:, -1])} | {shown(chrf[:, -1])} "
                f"| {gain} | {to_half(found)} |"
            )
        else:
            rows.append(
                f"{begin} rewards alone | {shown(exact[:, -1])} | {shown(chrf[:, -1])} | | "
                f"{to_half(found)} |"
            )
    return "\n".join(rows) + "\n"


def main() -> None:
    """Run the arms that have no file yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--every", type=int, default=8, help="updates between evaluations")
    parser.add_argument("--shown", type=int, default=400, help="numbers that an expert translates")
    parser.add_argument("--supervised", type=int, default=500, help="its gradient steps")
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS))
    parser.add_argument("--methods", nargs="+", default=["none", "jsae"])
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    prepare_jax()
    given.out.mkdir(parents=True, exist_ok=True)
    for pair in given.pairs:
        for method in given.methods:
            for supervised in (given.supervised, 0):
                path = given.out / f"{pair}-{method}-{supervised}.json"
                if not path.exists():
                    found = trained(pair, method, supervised, given)
                    write_json(path, found)
                    print(path.name, found["wall_s"], table([found]), flush=True)
    arms = [json.loads(path.read_text()) for path in sorted(given.out.glob("*.json"))]
    write_text(given.out / "table.md", table(arms))
    print(table(arms))


if __name__ == "__main__":
    main()
