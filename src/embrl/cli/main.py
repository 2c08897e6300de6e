"""`embrl COMMAND ...`"""

import sys
import time
from collections.abc import Sequence

from embrl.errors import EmbrlError
from embrl.registry import Registry

STARTED = time.perf_counter()
"""As near to the command's beginning as Python lets us see."""

COMMANDS = Registry(
    "command",
    {
        "train": "embrl.cli.train:train",
        "plot": "embrl.cli.plot:plot",
        "compare": "embrl.cli.compare:compare",
        "inspect": "embrl.cli.inspect:inspect",
    },
)
"""Name to a function of the arguments after it. A new command is one file and one line here."""

USAGE = """\
embrl: embeddings for reinforcement learning

  embrl train ENV ...         learn an embedding and a policy in it; ENV: gridworld, recommender,
                              slot_machine, continuous_gridworld
  embrl plot RUN              draw a run's learning curve and its embedding
  embrl compare RUN RUN ...   set runs side by side in a table and a picture
  embrl inspect RUN           say how good a run's embedding is, and what is wrong with it

embrl COMMAND --help says more of each."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    **Returns** the exit code: 0, or 2 for bad input, after one line on standard error that says
    what is wrong, where and what would be right.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"embrl {version('embrl')}")
        return 0
    try:
        COMMANDS[arguments[0]](arguments[1:])
    except EmbrlError as error:
        print(f"embrl: {error}", file=sys.stderr)
        return 2
    except SystemExit as exit_:  # help was asked for
        return int(exit_.code or 0)
    except KeyboardInterrupt:
        print("embrl: interrupted; --resume goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0
