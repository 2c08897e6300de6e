"""Action encoder g of a product: the embeddings of its parts, side by side."""

from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.products import Product, product_of
from embrl.core.scaling import RawBox
from embrl.core.types import Key
from embrl.decoding.products import ProductTable

TINY = 1e-6
"""Half of the width of a part's embeddings below which they count as one point."""


class ProductActions(eqx.Module):
    """Action encoder g: A -> E = (-1, 1)^(k d) x [-1, 1]^p of k discrete parts and p numbers.

    Every value of every part has a learned row; numbers are their own embedding, scaled by their
    bounds. With shared rows, value v of part i lies at tanh(scale_i row_v + shift_i): what is
    learned of one part counts for all, and parts still differ.
    """

    rows: Float[Array, "values d"]
    """Embeddings before the tanh: of all values of all parts, or, where they are shared, of as many
    values as the largest part has."""
    scale: Float[Array, "k 1"] | None
    """Logarithm of each part's factor on shared rows; None where each part has its own."""
    shift: Float[Array, "k d"] | None
    """Each part's shift of shared rows; None where each part has its own."""
    numbers: RawBox | None
    """Scaling of the numbers; None where there are none."""
    product: Product = eqx.field(static=True)

    def __init__(
        self, space: gymnasium.Space, d: int, *, spread: float, shared: bool = False, key: Key
    ) -> None:
        """Initialise the rows.

        Args:
            space: action space, in embrl's form of a product.
            d: dimensions of E for each discrete part.
            spread: initial standard deviation of embeddings.
            shared: True for one table of rows for all parts.
            key: random key.
        """
        product = product_of(space)
        assert product is not None
        self.product = product
        parts, rows = len(product.sizes), product.widest if shared else product.values
        self.rows = spread * jax.random.normal(key, (rows, d))
        self.scale = jnp.zeros((parts, 1)) if shared else None
        self.shift = jnp.zeros((parts, d)) if shared else None
        self.numbers = None if product.box is None else RawBox(product.box, scaled=True)

    @property
    def table(self) -> Any:
        """None, as joint actions cannot be listed."""
        return None

    @property
    def points(self) -> Float[Array, "values d"]:
        """Embeddings of the values of all parts, one part after another."""
        if self.scale is None or self.shift is None:
            return jnp.tanh(self.rows)
        own = jnp.exp(self.scale)[:, None] * self.rows + self.shift[:, None]
        return jnp.tanh(own[self.product.exists])

    @property
    def decoded(self) -> ProductTable:
        """Table that f decodes with."""
        return ProductTable(self.points, self.product, self.numbers)

    @property
    def reached(self) -> ProductTable:
        """Table that policies decode with: E with every axis of every part stretched to -1 to 1.

        Pre-training leaves the values of a part as near each other as their effects are alike.
        Stretched, the noise of a policy means the same for every part, and its mean reaches all
        values.
        """
        points, product = self.points, self.product
        of_part = points[product.places]  # beyond its values, a part's last one again
        low, high = of_part.min(1), of_part.max(1)
        part = np.repeat(np.arange(len(product.sizes)), product.sizes)
        centre, half = (0.5 * (low + high))[part], (0.5 * (high - low))[part]
        stretched = jnp.where(half > TINY, (points - centre) / jnp.maximum(half, TINY), 0.0)
        return ProductTable(stretched, product, self.numbers)

    def __call__(self, action: Array) -> Float[Array, "*batch dims"]:
        return self.decoded.embedded(action)
