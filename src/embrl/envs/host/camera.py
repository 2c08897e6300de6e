"""Cameras that go along."""

import sys
from typing import Any

import gymnasium

CAMERA = "track"
"""What MuJoCo's models of robots call the camera that follows them."""


def following(env: gymnasium.Env) -> gymnasium.Env:
    """The same environment, seen by the camera that its model has for that, if it has one and
    nobody has chosen another. Gymnasium's own view stands still, and robots walk out of it.
    """
    bare: Any = env.unwrapped
    renderer: Any = getattr(bare, "mujoco_renderer", None)
    chosen = (getattr(bare, name, None) for name in ("camera_id", "camera_name"))
    mujoco = sys.modules.get("mujoco")
    if mujoco is None or not hasattr(renderer, "camera_id") or any(c is not None for c in chosen):
        return env
    camera = mujoco.mj_name2id(bare.model, mujoco.mjtObj.mjOBJ_CAMERA, CAMERA)
    if camera >= 0:
        renderer.camera_id = camera
    return env
