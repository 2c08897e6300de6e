"""MuJoCo's ways to draw without a screen: which of them works here."""

import functools
import importlib.util
import os
import platform
import subprocess
import sys

from embrl.core.errors import EmbrlError

VARIABLE = "MUJOCO_GL"

PROBE = """\
import mujoco
with mujoco.Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 8, 8) as renderer:
    renderer.render()
"""

PATIENCE = 60
"""Seconds that drawing nothing may take."""


def prepare_mujoco() -> None:
    """Chooses a way that works, by the environment variable MUJOCO_GL, if MuJoCo is in use and
    nobody has chosen yet. Which ones do is tried in processes of their own: one that fails may
    take its process along, or spoil it for the next.

    Where somebody has chosen, call it before MuJoCo is imported, which fails if that does not work.

    Raises:
        EmbrlError: none does, or not the one that was chosen; the message says what to install.
    """
    chosen = os.environ.get(VARIABLE)
    used = "mujoco" in sys.modules or (chosen and importlib.util.find_spec("mujoco"))
    if not used or platform.system() != "Linux":
        return
    faults: dict[str, str] = {}
    for way in [chosen] if chosen else _ways():
        fault = _fault(way)
        if fault is None:
            os.environ[VARIABLE] = way
            return
        faults[way] = fault
    said = "; ".join(f"{VARIABLE}={way}: {fault}" for way, fault in faults.items())
    other = f"unset {VARIABLE}, or install" if chosen else "install"
    raise EmbrlError(
        f"MuJoCo cannot draw on this machine ({said}): {other} EGL or OSMesa (Debian: libegl1 "
        f"or libosmesa6) and set {VARIABLE}=egl or {VARIABLE}=osmesa"
    )


def _ways() -> list[str]:
    """In the order in which they are worth trying."""
    screen = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return ["egl", *(["glfw"] if screen else []), "osmesa"]


@functools.cache
def _fault(way: str) -> str | None:
    """Why it does not work, the last line of what it says; None if it does."""
    try:
        tried = subprocess.run(
            [sys.executable, "-c", PROBE],
            env={**os.environ, VARIABLE: way},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}"
    if tried.returncode == 0:
        return None
    lines = tried.stderr.strip().splitlines() or [f"ended with {tried.returncode}"]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1])
