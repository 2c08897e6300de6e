"""What a file was made with."""

import platform
from importlib.metadata import version

import jax

from embrl.core.runtime import available_cores


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that numbers depend on."""
    names = ("embrl", "jax", "equinox", "optax", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def machine() -> str:
    """What it was made on: kind and number of devices, and cores it could use."""
    device = jax.devices()[0]
    return f"{device.device_kind} x {len(jax.devices())}, {available_cores()} cores"
