"""MinAtar's games: PPO on pixels with an embedding and without one.

    PYTHON results/minatar.py long [--games ...] [--arms ...] [--seeds 3]
    PYTHON results/minatar.py short [--games ...] [--arms ...] [--seeds 10]

PYTHON is an interpreter with embrl and gymnax (`pip install 'embrl[gymnax]'`). `long` trains for
10,000,000 timesteps, to be compared with the checkpoints that gymnax publishes; `short` for
1,000,000, to compare arms early. Runs are kept in runs/minatar, and finished ones are not trained
again; results/minatar/long.md and short.md are tables of what is finished, for docs/images.md.
"""

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnax
from beside_sb3 import interval, summary_of

import embrl
from embrl.interop.gymnax import FromGymnax

HERE = Path(__file__).parent
OUT = HERE / "minatar"
RUNS = HERE.parent / "runs" / "minatar"

HEAD = (
    "Returns after training (drawn actions, 100 episodes), and the mean return over all",
    "timesteps (in those of pre-training, the return of random actions): mean over seeds, 95 %",
    "interval (bootstrap over seeds), each seed.",
    "",
    "| game | arm | timesteps | after training | over training | seeds | checkpoint |",
    "|---|---|---|---|---|---|---|",
)
"""Lines of a table before its rows."""

CHECKPOINTS = {"Asterix": 15, "Breakout": 28, "Freeway": 58, "SpaceInvaders": 131}
"""Returns of the PPO checkpoints that gymnax publishes, after 10,000,000 timesteps."""
GAMES = (*CHECKPOINTS, "Seaquest")

ALGORITHM = embrl.PPO(
    actor_lr=3e-3,
    std_lr=3e-3,
    critic_lr=3e-3,
    scale_by_std=False,
    anneal=True,
    gamma=0.99,
    gae_lambda=0.95,
    ent_coef=0.01,
    update_epochs=4,
    critic_epochs=4,
    num_minibatches=8,
)
"""Chosen on Breakout with two seeds and 1,000,000 timesteps (docs/images.md), of four settings."""
AS_CHECKPOINTS = dataclasses.replace(
    ALGORITHM, actor_lr=5e-4, std_lr=5e-4, critic_lr=5e-4, anneal=False, gamma=0.999
)
"""As the checkpoints were trained, which had two layers of 256 units."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to train."""

    method: str
    layers: str = "flat"
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "auto"
    algorithm: embrl.PPO = ALGORITHM
    steps_per_update: int = 8192
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Further arguments of `embrl.train`."""
    frames_of: str = ""
    """Game whose frames phi is trained on, with as many planes; empty: those of the game itself."""


ALONE: dict[str, Any] = {
    "algorithm": dataclasses.replace(ALGORITHM, ent_coef=0.05),
    "steps_per_update": 4096,
}
"""The best of fourteen settings that were tried without an embedding."""

LIKE_JSAE: dict[str, Any] = {
    "embedding": {"state_dim": 64},
    "pretrain": {"timesteps": 5_000, "gradient_steps": 700},
    "policy": {"inputs": "both"},
}
"""What is JSAE's default here, so that objectives alone differ."""

ASTERIX = dataclasses.replace(ALGORITHM, gamma=0.95, gae_lambda=0.8)
FREEWAY = dataclasses.replace(ALGORITHM, actor_lr=1e-3, std_lr=1e-3, critic_lr=1e-3)
"""Chosen without an embedding on these games (docs/images.md)."""

WIDE: dict[str, Any] = {
    "hidden": (256, 256),
    "activation": "relu",
    "algorithm": dataclasses.replace(
        ALGORITHM, actor_lr=1.5e-3, std_lr=1.5e-3, critic_lr=1.5e-3, gamma=0.999
    ),
}
"""Networks of the checkpoints, and three times their learning rate, which falls to 0."""

ARMS = {
    "none": Arm("none", **ALONE),
    "none-convolution": Arm("none", "small", **ALONE),
    "jsae": Arm("jsae"),
    "jsae-online": Arm("jsae", settings={"online": {"every": 1}}),
    "raw-states": Arm("ra"),
    "latent": Arm("latent", settings=LIKE_JSAE),
    "autoencoder": Arm("autoencoder", settings=LIKE_JSAE),
    "jsae-other-frames": Arm("jsae", settings=LIKE_JSAE, frames_of="Asterix"),
    "random": Arm("random", settings=LIKE_JSAE),
    "none-asterix": Arm("none", algorithm=ASTERIX),
    "jsae-asterix": Arm("jsae", algorithm=ASTERIX),
    "none-wide": Arm("none", **WIDE),
    "jsae-wide": Arm("jsae", **WIDE),
    "none-freeway": Arm("none", hidden=(128, 128), algorithm=FREEWAY, steps_per_update=4096),
    "jsae-freeway": Arm("jsae", hidden=(128, 128), algorithm=FREEWAY, steps_per_update=4096),
    "none-as-checkpoints": Arm("none", hidden=(256,), algorithm=AS_CHECKPOINTS),
    "jsae-as-checkpoints": Arm("jsae", hidden=(256,), algorithm=AS_CHECKPOINTS),
}


def environment(game: str) -> FromGymnax:
    """Return a game."""
    return FromGymnax(*gymnax.make(f"{game}-MinAtar"))


def embedding_of(how: Arm, settings: Mapping[str, Any]) -> Path:
    """Return the folder of an embedding of another game's frames, which is made if it is not."""
    out = RUNS / "embeddings" / how.frames_of
    if not out.exists():
        fitted = embrl.fit(
            environment(how.frames_of),
            method=how.method,
            timesteps=settings["pretrain"]["timesteps"],
            embedding=settings["embedding"],
            pretrain=settings["pretrain"],
        )
        fitted.save(out)
    return out


def train(kind: str, timesteps: int, game: str, arm: str, seeds: int) -> None:
    """Train seeds of a game, unless they are trained; a run that was stopped goes on."""
    out = RUNS / kind / game / arm
    if summary_of(out):
        return
    how = ARMS[arm]
    settings: dict[str, Any] = {
        "embedding": {"image_layers": how.layers},
        "policy": {"hidden": how.hidden, "activation": how.activation},
    }
    for section, values in how.settings.items():
        settings[section] = settings.get(section, {}) | values
    if how.frames_of:
        settings["transfer"] = {"run": str(embedding_of(how, settings)), "keep": "states"}
    embrl.train(
        environment(game),
        out=out,
        resume=out.exists(),
        method=how.method,
        algorithm=how.algorithm,
        seeds=seeds,
        total_timesteps=timesteps,
        rollout={"num_envs": 64, "steps_per_update": how.steps_per_update},
        evaluation={
            "every": max(1, timesteps // 20 // 8192) * 8192,
            "episodes": 20,
            "final_episodes": 100,
        },
        progress=True,
        **settings,
    )


def write_table(kind: str) -> None:
    """Write the table of what is finished; rows of runs that are not here stay as they stood."""
    table = OUT / f"{kind}.md"
    stood = table.read_text().splitlines()[len(HEAD) :] if table.exists() else []
    rows = {tuple(line.split(" | ")[:2]): line for line in stood}
    for folder in sorted((RUNS / kind).glob("*/*")):
        summary = summary_of(folder)
        if summary:
            game, arm = folder.parent.name, folder.name
            returns = summary["final_return_per_seed"]
            after = interval(returns, 3) if len(returns) > 1 else f"{returns[0]:.3g}"
            area = f"{summary['auc_mean']:.3g}"
            each = ", ".join(f"{value:.3g}" for value in returns)
            rows[f"| {game}", arm] = (
                f"| {game} | {arm} | {summary['timesteps']:,} | {after} | {area} "
                f"| {each} | {CHECKPOINTS.get(game, '')} |"
            )
    OUT.mkdir(exist_ok=True)
    table.write_text("\n".join([*HEAD, *(rows[key] for key in sorted(rows))]) + "\n")


def main() -> None:
    """Train what is asked for and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=("long", "short"))
    parser.add_argument("--games", nargs="+", default=list(GAMES), choices=GAMES)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--timesteps", type=int)
    arguments = parser.parse_args()
    timesteps = arguments.timesteps or {"long": 10_000_000, "short": 1_000_000}[arguments.kind]
    for game in arguments.games:
        for arm in arguments.arms:
            train(arguments.kind, timesteps, game, arm, arguments.seeds)
            write_table(arguments.kind)


if __name__ == "__main__":
    main()
