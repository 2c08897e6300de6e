"""Cache on disk of vectors of texts, by their content and by the model that made them.

A file is named after both and says so itself, so that one of another model is never read by
mistake, wherever it was copied.
"""

import contextlib
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from embrl.core.errors import EmbrlError
from embrl.core.runtime import cache_base, trim_cache
from embrl.storage import files
from embrl.text.encoders import TextEncoder, text_encoder

CACHE_BYTES = 500_000_000
"""Maximum size of the cache; what was used longest ago goes."""


def text_vectors(texts: Sequence[str], encoder: str) -> Float[np.ndarray, "n size"]:
    """Return the vector of each text, from the cache where it is there.

    Args:
        texts: any number of them.
        encoder: a name in `TEXT_ENCODERS`.

    Raises:
        EmbrlError: there is no such encoder, or its package is missing.
    """
    model = text_encoder(encoder)
    if not model.version:
        return model(texts)
    path = cache_path(texts, model)
    if (found := _read(path, (len(texts), model.size))) is not None:
        return found
    vectors = model(texts)
    # A cache that cannot be written costs time, no more.
    with contextlib.suppress(EmbrlError):
        files.make_folder(path.parent)
        data = io.BytesIO()
        np.savez(data, made_of=np.array(path.stem), vectors=vectors)
        files.write_bytes(path, data.getvalue())
        trim_cache(path.parent, CACHE_BYTES)
    return vectors


def cache_path(texts: Sequence[str], model: TextEncoder) -> Path:
    """Return the file that has the vectors of these texts, if they were kept."""
    digest = hashlib.sha256(f"{model.name} {model.version} {model.size}".encode())
    for text in texts:
        data = text.encode(errors="surrogatepass")
        digest.update(f"\n{len(data)} ".encode() + data)
    return cache_base() / "text" / f"{digest.hexdigest()[:32]}.npz"


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the array in a file; None if there is none, or it is damaged or of something else."""
    try:
        # From bytes: NumPy leaves a damaged file open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            found, of = kept["vectors"], str(kept["made_of"])
    except Exception:  # NumPy's reader raises many kinds
        return None
    fits = of == path.stem and found.dtype == np.float32 and found.shape == shape
    return found if fits and np.isfinite(found).all() else None
