"""Ids under which Gymnasium makes embrl's environments with known optima.

They are registered as soon as both embrl and Gymnasium are imported, in whichever order. embrl does
not import Gymnasium for that: it takes half a second, which `embrl --help` should not.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

IDS: dict[str, tuple[str, dict[str, Any]]] = {
    "embrl/JointReplenishment-v0": ("joint_replenishment", {}),
    "embrl/Manoeuvres-v0": ("manoeuvres", {}),
    "embrl/Switches-v0": ("switches", {}),
    "embrl/SlotMachine-v0": ("slot_machine", {"actions": "product"}),
    "embrl/TrafficLights-v0": ("traffic_lights", {}),
    "embrl/Glimpses-v0": ("glimpses", {}),
    "embrl/Chatbot-v0": ("chatbot", {}),
    "embrl/Translation-v0": ("translation", {}),
    "embrl/LidarRobot-v0": ("lidar_robot", {}),
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
                vector_entry_point="embrl.interop.compiled_env:CompiledVectorEnv",
                kwargs={"environment": environment, **settings},
            )


def register_once_imported() -> None:
    """Register the ids now if Gymnasium is imported, else as soon as it is."""
    if "gymnasium" in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _AfterGymnasium())


class _AfterGymnasium:
    """Finder that finds nothing, but makes the import of Gymnasium end in `register`."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        del path, target
        if name != "gymnasium":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            register()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
