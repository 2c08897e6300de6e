"""Learned functions as chains of plain steps in NumPy: quick one at a time, and easy to say in
another language (`embrl.deploy`, `embrl.interop`). Nothing here knows JAX.
"""

from embrl.portable.chain import Beside, Chain, Step

__all__ = ["Beside", "Chain", "Step"]
