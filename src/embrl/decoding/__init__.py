"""f: from the action embedding space back to the original actions."""

from embrl.decoding.base import DECODERS, Decoder, DecoderConfig, Scorer, build
from embrl.decoding.constraint import Constraint, nearest_feasible
from embrl.decoding.continuous import Identity, LearnedAction, Rescaled
from embrl.decoding.indexed import IndexedTable, embedded, points_of
from embrl.decoding.joint import in_order, k_nearest_joint, nearest_joint
from embrl.decoding.nearest import NearestAction
from embrl.decoding.products import ProductTable
from embrl.decoding.scored import BestAction, Wolpertinger
from embrl.decoding.search import k_nearest, nearest
from embrl.decoding.softmax import SoftmaxAction

__all__ = [
    "DECODERS",
    "BestAction",
    "Constraint",
    "Decoder",
    "DecoderConfig",
    "Identity",
    "IndexedTable",
    "LearnedAction",
    "NearestAction",
    "ProductTable",
    "Rescaled",
    "Scorer",
    "SoftmaxAction",
    "Wolpertinger",
    "build",
    "embedded",
    "in_order",
    "k_nearest",
    "k_nearest_joint",
    "nearest",
    "nearest_feasible",
    "nearest_joint",
    "points_of",
]
