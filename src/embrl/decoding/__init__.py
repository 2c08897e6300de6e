"""f: from the action embedding space back to the original actions."""

from embrl.core.registry import Registry
from embrl.decoding.best import BestAction
from embrl.decoding.config import DecoderConfig, build
from embrl.decoding.decoder import Decoder, Judge
from embrl.decoding.identity import Identity
from embrl.decoding.k_nearest import k_nearest
from embrl.decoding.nearest import nearest
from embrl.decoding.nearest_action import NearestAction
from embrl.decoding.softmax_action import SoftmaxAction
from embrl.decoding.wolpertinger import Wolpertinger

__all__ = [
    "DECODERS",
    "BestAction",
    "Decoder",
    "DecoderConfig",
    "Identity",
    "Judge",
    "NearestAction",
    "SoftmaxAction",
    "Wolpertinger",
    "build",
    "k_nearest",
    "nearest",
]

DECODERS = Registry(
    "decoder",
    {
        "nearest": "embrl.decoding.nearest_action:NearestAction",
        "wolpertinger": "embrl.decoding.wolpertinger:Wolpertinger",
        "best": "embrl.decoding.best:BestAction",
        "learned": "embrl.decoding.learned_action:LearnedAction",
        "softmax": "embrl.decoding.softmax_action:SoftmaxAction",
    },
)
"""Name to class. A new f is one file, one line here, and what it takes in `config.py`."""
