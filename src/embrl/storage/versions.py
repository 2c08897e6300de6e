"""Versions and machine that a file was made with."""

import platform
from importlib.metadata import version

import jax

from embrl.core.runtime import available_cores


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    names = ("embrl", "jax", "equinox", "optax", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def machine() -> str:
    """Return the kind and number of devices, and the number of available cores."""
    device = jax.devices()[0]
    return f"{device.device_kind} x {len(jax.devices())}, {available_cores()} cores"
