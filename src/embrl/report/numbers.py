"""Numbers as people read them."""

import math


def short_count(value: float) -> str:
    """Large counts with k, M or G: 500, 30k, 1.5M."""
    for factor, unit in [(1e9, "G"), (1e6, "M"), (1e3, "k")]:
        # From where rounding to four digits gives 1 of the larger unit: 999,960 is 1M.
        if abs(value) >= 0.99995 * factor:
            return f"{value / factor:.4g}{unit}"
    return f"{value:.4g}"


def decimals(*values: float) -> int:
    """How many decimals show about four digits of the largest of `values`, at most 3."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return 3 if largest < 10 else max(0, 3 - int(math.log10(largest)))
