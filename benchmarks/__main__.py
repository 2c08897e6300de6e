"""Run benchmarks and print one table.

    python -m benchmarks [NAME ...]

Without a name, every one of `BENCHMARKS` that has what it needs.
"""

import argparse

from rich.console import Console
from rich.table import Table

from benchmarks import (
    agent_steps,
    environment_steps,
    host_training,
    joint_actions,
    nearest_action,
    sac_updates,
    small_networks,
    training,
)
from embrl.core.runtime import prepare_jax

BENCHMARKS = {
    module.__name__.rpartition(".")[-1]: module
    for module in (
        environment_steps,
        agent_steps,
        nearest_action,
        joint_actions,
        training,
        small_networks,
        sac_updates,
        host_training,
    )
}


def main() -> None:
    """Print a row for each measurement."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := sorted(set(names) - set(BENCHMARKS)):
        parser.error(f"NAME must be of {', '.join(BENCHMARKS)}, got {unknown[0]}")
    prepare_jax()
    table = Table("what", "embrl", "rival", "ratio", title="speed on this machine")
    for name in names:
        for row in BENCHMARKS[name].run():
            ratio = row.embrl / row.rival
            table.add_row(
                row.what, f"{row.embrl:,.0f}/s", f"{row.rival:,.0f}/s {row.name}", f"{ratio:,.1f}x"
            )
    if table.row_count:
        Console().print(table)


main()
