"""The settings that most users change first."""

COMMON = (
    "env.actuators",
    "env.fractions",
    "env.items",
    "env.axes",
    "env.count",
    "env.data",
    "env.job",
    "env.max_episode_steps",
    "env.kwargs",
    "env.step_limit",
    "embedding.state_dim",
    "embedding.action_dim",
    "pretrain.timesteps",
    "decoder.kind",
    "hyperparameters.actor_lr",
    "hyperparameters.gamma",
    "rollout.steps_per_update",
    "rollout.num_envs",
    "evaluation.every",
)
"""Dotted names, of which a run has those that its environment and algorithm have. `--help` shows
them, beside the settings without a section; `--help-all` shows all others too."""

FEW = 2
"""Settings of an environment or an algorithm that are common where none of its own is listed, as in
a plugin: that many, the first ones."""


def is_common(name: str, names: list[str]) -> bool:
    """Return whether a setting is a common one.

    Args:
        name: its dotted name; an algorithm's section is called `hyperparameters`.
        names: those of all settings, in their order.
    """
    section = name.partition(".")[0]
    mine = [other for other in names if other.startswith(f"{section}.")]
    if section in ("env", "hyperparameters") and set(mine) & set(COMMON) <= {"env.step_limit"}:
        return name in (*mine[:FEW], "env.step_limit")
    return name in COMMON
