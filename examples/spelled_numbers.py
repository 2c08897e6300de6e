"""Numbers translated from English to French: an expert's words first, then rewards of sentences.

pip install 'embrl[translation]'; python examples/spelled_numbers.py [TIMESTEPS]
"""

import sys

import embrl


def main(timesteps: int, gradient_steps: int = 300) -> list[str]:
    """Train, and return a few translations."""
    run = embrl.train(
        "translation",
        demonstrated=150,
        method="none",
        total_timesteps=timesteps,
        seeds=1,
        policy={"hidden": (128, 128)},
        algorithm=embrl.PPO(actor_lr=3e-4, gamma=1.0, num_minibatches=4, ent_coef=0.0),
        imitation={"gradient_steps": gradient_steps, "batch_size": 256},
    )
    lines = []
    for episode in embrl.play(run, episodes=5, greedy=True):
        lines += episode.transcript or ()
    print("\n".join(lines))
    return lines


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
