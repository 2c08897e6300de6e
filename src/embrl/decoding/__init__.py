"""f: from the action embedding space back to the original actions."""

from embrl.decoding.decoders import Identity, NearestAction
from embrl.decoding.nearest import nearest

__all__ = ["Identity", "NearestAction", "nearest"]
