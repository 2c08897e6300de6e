"""Learned functions and policies as plain steps, without JAX (docs/decisions/0023)."""

from embrl.portable.steps import (
    Beside,
    Chain,
    Draw,
    Nearest,
    PortablePolicy,
    PortableStep,
    Scored,
)

__all__ = ["Beside", "Chain", "Draw", "Nearest", "PortablePolicy", "PortableStep", "Scored"]
