"""Vectors of texts: encoders with frozen, pre-trained models, and a cache of what they returned."""

from embrl.text.cache import text_vectors
from embrl.text.encoders import TEXT_ENCODERS, TextEncoder, text_encoder
from embrl.text.tables import read_texts

__all__ = ["TEXT_ENCODERS", "TextEncoder", "read_texts", "text_encoder", "text_vectors"]
