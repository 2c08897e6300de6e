"""Train a policy in an embedding, load the run, and walk to the goal with it.

python examples/train_and_act.py [RUN [TIMESTEPS]]
"""

import sys
from pathlib import Path

import jax

import embrl


def main(out: Path, timesteps: int) -> None:
    """Train for `timesteps` environment steps in the run folder `out`, and play one episode."""
    run = embrl.train(
        "gridworld", actuators=5, out=out, seeds=2, total_timesteps=timesteps, resume=True
    )
    final = run.summary["final_return_mean"]
    random = run.summary["random_return"]
    print(f"return {final:.2f} after {timesteps:,} timesteps (random: {random:.2f})")

    env = embrl.make("gridworld", actuators=5)
    policy = embrl.load(out).policy(seed=0)
    state, observation = env.reset(jax.random.key(0))
    for step in range(1, 21):
        action = policy.act(observation, seed=step)
        state, after = env.step(jax.random.key(step), state, action)
        observation = after.observation
        x, y = state.position
        print(f"step {step:2d}: action {action:05b} -> ({x:.3f}, {y:.3f})")
        if after.terminated:
            print("goal")
            break


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example"),
        int(sys.argv[2]) if len(sys.argv) > 2 else 200_000,
    )
