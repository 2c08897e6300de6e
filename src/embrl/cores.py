"""How many cores this process may use."""

import os


def cores() -> int:
    """Fewer than the machine has where a scheduler or `taskset` allots them."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
