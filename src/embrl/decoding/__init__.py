"""f: from the action embedding space back to the original actions."""

from embrl.decoding.base import DECODERS, Decoder, DecoderConfig, Scorer, build
from embrl.decoding.continuous import Identity, LearnedAction, Rescaled
from embrl.decoding.nearest import NearestAction
from embrl.decoding.scored import BestAction, Wolpertinger
from embrl.decoding.search import k_nearest, nearest
from embrl.decoding.softmax import SoftmaxAction
from embrl.decoding.tree import IndexedTable, points_of

__all__ = [
    "DECODERS",
    "BestAction",
    "Decoder",
    "DecoderConfig",
    "Identity",
    "IndexedTable",
    "LearnedAction",
    "NearestAction",
    "Rescaled",
    "Scorer",
    "SoftmaxAction",
    "Wolpertinger",
    "build",
    "k_nearest",
    "nearest",
    "points_of",
]
