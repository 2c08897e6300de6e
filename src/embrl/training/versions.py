"""What a file was made with."""

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that numbers depend on."""
    names = ("embrl", "jax", "equinox", "optax", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
