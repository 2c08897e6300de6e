"""Ids under which Gymnasium makes embrl's environments with known optima.

They are registered when embrl is imported after Gymnasium, or by `gymnasium.make("embrl:ID")`.
"""

from typing import Any

IDS: dict[str, tuple[str, dict[str, Any]]] = {
    "embrl/JointReplenishment-v0": ("joint_replenishment", {}),
    "embrl/Manoeuvres-v0": ("manoeuvres", {}),
    "embrl/Switches-v0": ("switches", {}),
    "embrl/SlotMachine-v0": ("slot_machine", {"actions": "product"}),
    "embrl/TrafficLights-v0": ("traffic_lights", {}),
    "embrl/Chatbot-v0": ("chatbot", {}),
    "embrl/Translation-v0": ("translation", {}),
    "embrl/Gridworld-v0": ("gridworld", {}),
}
"""Environment of embrl and its settings, by id. Further settings are arguments of
`gymnasium.make`."""


def register() -> None:
    """Register the ids with Gymnasium, where that has not been done."""
    from gymnasium.envs import registration

    for name, (environment, settings) in IDS.items():
        if name not in registration.registry:
            registration.register(
                name,
                "embrl.interop.compiled_env:CompiledEnv",
                kwargs={"environment": environment, **settings},
            )
