"""The purchase model: the probability of each next item, given the last two.

Let n(b) be the number of times that anything followed item b, n(bc) that c did, n(abc) that c
followed a and b, and f the fraction of each item among all purchases:

    last-item(c | b)     = (n(bc) + smoothing f(c)) / (n(b) + smoothing)
    last-two(c | a, b)   = n(abc) / sum_c n(abc)
    P(c | a, b)          = (1 - mixture) last-item(c | b) + mixture last-two(c | a, b)

and P is last-item alone where a and b were never followed by anything.

The model *is* the log: every purchase with the next two of the same user, sorted. A count is then
the length of a range of rows, and sampling from counts is picking a row of that range, exactly and
without any table over pairs of items. Memory grows with the purchases alone.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt

from embrl.envs.recommender.purchases import Purchases


class Context(NamedTuple):
    """Counts and rows (of `NGram.triples`) for a pair of items (older, last)."""

    last: Int[Array, ""]
    """The last item."""
    begin: Int[Array, ""]
    """First row of the pair."""
    followed: Int[Array, ""]
    """Number of rows of the pair with a third item: the sum of n(abc)."""
    last_followed: Int[Array, ""]
    """Number of rows of the last item with a second item: n(b)."""


class NGram(eqx.Module):
    """The purchase model for K items and N purchases; see `from_purchases`."""

    triples: Int[Array, "3 N"]
    """Each purchase and the next two of the same user, or K where there is none, in lexicographic
    order."""
    starts: Int[Array, " K+1"]
    """First row of each first item."""
    followed: Int[Array, " K"]
    """Number of rows of each first item with a second item, n(b)."""
    pair_counts: Int[Array, " N"]
    """Number of rows of each pair, at its first row."""
    pair_followed: Int[Array, " N"]
    """Number of rows of each pair with a third item, at its first row."""
    triple_counts: Int[Array, " N"]
    """Number of rows of each triple, at its first row."""
    mixture: Float[Array, ""]
    """Weight of the last two items, 0 to 1."""
    smoothing: Float[Array, ""]
    """Number of purchases that the item frequencies count for."""
    search_steps: tuple[int, int] = eqx.field(static=True)
    """Number of halvings that find a second item among the rows of any first item, and a third
    among those of any pair."""

    @classmethod
    def from_purchases(cls, purchases: Purchases, mixture: float, smoothing: float) -> "NGram":
        """Build the model by sorting the log.

        Args:
            purchases: The log.
            mixture: Weight of the last two items, 0 to 1.
            smoothing: Number of purchases that the item frequencies count for, at least 0.
        """
        items, count = purchases.items, len(purchases.names)
        triples = np.full((3, len(items)), count, np.int32)
        triples[0] = items
        for ahead in (1, 2):
            same_user = purchases.users[ahead:] == purchases.users[:-ahead]
            triples[ahead, :-ahead][same_user] = items[ahead:][same_user]
        triples = triples[:, np.lexsort(triples[::-1])]

        starts = np.searchsorted(triples[0], np.arange(count + 1))
        first, second, third = triples
        followed = np.bincount(first[second < count], minlength=count)
        new_pair = np.ones(len(items), bool)
        new_pair[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        new_triple = new_pair.copy()
        new_triple[1:] |= third[1:] != third[:-1]
        pair_followed = _run_sums(new_pair, third < count)
        longest = int(np.diff(starts).max()), int(pair_followed.max())
        return cls(
            triples=jnp.asarray(triples, jnp.int32),
            starts=jnp.asarray(starts, jnp.int32),
            followed=jnp.asarray(followed, jnp.int32),
            pair_counts=jnp.asarray(_run_sums(new_pair, np.ones_like(first)), jnp.int32),
            pair_followed=jnp.asarray(pair_followed, jnp.int32),
            triple_counts=jnp.asarray(_run_sums(new_triple, np.ones_like(first)), jnp.int32),
            mixture=jnp.float32(mixture),
            smoothing=jnp.float32(smoothing),
            search_steps=(longest[0].bit_length(), longest[1].bit_length()),
        )

    @property
    def items(self) -> int:
        """Number of items, K."""
        return self.followed.shape[0]

    def context(self, older: Int[Array, ""], last: Int[Array, ""]) -> Context:
        """Look up a pair of items, once for any number of questions about it."""
        row = self._find(1, self.starts[older], self.starts[older + 1], last)
        followed = jnp.where(row >= 0, self.pair_followed[row], 0)
        return Context(last, row, followed, self.followed[last])

    def unseen(self, last: Int[Array, ""]) -> Context:
        """Return the context of a pair that was never seen, so that P is last-item(. | last)."""
        return Context(last, jnp.int32(0), jnp.int32(0), self.followed[last])

    def probability(self, context: Context, item: Int[Array, ""]) -> Float[Array, ""]:
        """Return P(item | older, last)."""
        begin, end = self.starts[context.last], self.starts[context.last + 1]
        row = self._find(1, begin, end, item)
        pair_count = jnp.where(row >= 0, self.pair_counts[row], 0)
        row = self._find(2, context.begin, context.begin + context.followed, item)
        triple_count = jnp.where(row >= 0, self.triple_counts[row], 0)

        frequency = (self.starts[item + 1] - self.starts[item]) / self.triples.shape[1]
        two, one, none = self._weights(context)
        return (
            two * triple_count / jnp.maximum(context.followed, 1)
            + one * pair_count / jnp.maximum(context.last_followed, 1)
            + none * frequency
        )

    def sample(
        self, context: Context, uniform: Float[Array, ""], bits: UInt[Array, ""]
    ) -> Int[Array, ""]:
        """Draw an item with distribution P(. | older, last).

        Args:
            context: The pair of items.
            uniform: Number in [0, 1) that chooses among last-two, last-item and frequencies.
            bits: 32 random bits that choose a row.
        """
        two, one, _ = self._weights(context)
        column = 2 - (uniform >= two).astype(jnp.int32) - (uniform >= two + one)
        begin = jnp.stack([jnp.int32(0), self.starts[context.last], context.begin])[column]
        size = jnp.stack(
            [jnp.int32(self.triples.shape[1]), context.last_followed, context.followed]
        )[column]
        # The remainder favours low rows by less than size / 2^32. A column without rows has no
        # weight; the 1 only avoids a division by 0 in results that are not used.
        row = begin + (bits % jnp.maximum(size, 1).astype(jnp.uint32)).astype(jnp.int32)
        return self.triples[column, row]

    def distribution(self, context: Context) -> Float[Array, " K"]:
        """Return P(. | older, last). For reference policies: stepping never looks at every item."""
        return jax.vmap(self.probability, (None, 0))(context, jnp.arange(self.items))

    def _weights(
        self, context: Context
    ) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
        """Return the weights of last-two counts, last-item counts and frequencies; sum 1."""
        two = jnp.where(context.followed > 0, self.mixture, 0.0)
        # After an item that nothing followed, without smoothing, only the frequencies are left.
        total = context.last_followed + self.smoothing
        fraction = context.last_followed / jnp.where(total > 0, total, 1.0)
        return two, (1 - two) * fraction, (1 - two) * (1 - fraction)

    def _find(
        self, column: int, begin: Int[Array, ""], end: Int[Array, ""], item: Int[Array, ""]
    ) -> Int[Array, ""]:
        """Find the first row from `begin` to before `end`, sorted by `column`, with `item`.

        Returns:
            The row; -1 if there is none.
        """
        values = self.triples[column]
        row = begin
        # Unrolled: XLA makes one kernel of it on the CPU, five times as fast as a loop.
        for step in (1 << halving for halving in reversed(range(self.search_steps[column - 1]))):
            further = row + step
            row = jnp.where((further < end) & (values[further - 1] < item), further, row)
        return jnp.where((row < end) & (values[row] == item), row, -1)


def _run_sums(new_run: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the sum of `values` over each run, at each of its rows; int64 `[N]`."""
    sums = np.add.reduceat(values.astype(np.int64), np.flatnonzero(new_run))
    return sums[np.cumsum(new_run) - 1]
