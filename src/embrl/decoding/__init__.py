"""f: from the action embedding space back to the original actions."""

from embrl.decoding.base import DECODERS, Decoder, DecoderConfig, Scorer, build
from embrl.decoding.continuous import Identity, LearnedAction, Rescaled
from embrl.decoding.indexed import IndexedTable, embedded, points_of
from embrl.decoding.nearest import NearestAction
from embrl.decoding.scored import BestAction, Wolpertinger
from embrl.decoding.search import k_nearest, nearest
from embrl.decoding.softmax import SoftmaxAction

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
    "embedded",
    "k_nearest",
    "nearest",
    "points_of",
]
