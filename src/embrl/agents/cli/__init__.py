"""`embrl agents COMMAND ...`: one file per command."""

from collections.abc import Sequence

from embrl.core.errors import EmbrlError
from embrl.core.registry import Registry

COMMANDS = Registry(
    "agents command",
    {
        "collect": "embrl.agents.cli.collect:collect",
        "import": "embrl.agents.cli.importing:import_",
        "fit": "embrl.agents.cli.fit:fit",
        "generate": "embrl.agents.cli.generate:generate",
        "improve": "embrl.agents.cli.improve:improve",
        "walk": "embrl.agents.cli.walk:walk",
        "report": "embrl.agents.cli.report:report",
    },
)
"""Name to a function of the remaining arguments. Add a command as a file and a line here."""

USAGE = """\
usage: embrl agents COMMAND ...

Populations of small policy networks (agents), and embeddings of them.

  embrl agents collect [ENV] ...         train many agents of every skill, and evaluate them
  embrl agents import FILE [FILE ...]    add policies that were trained elsewhere to a population
  embrl agents fit POP ...               learn an embedding of a population's agents
  embrl agents generate EMB ...          draw new agents from an embedding
  embrl agents improve POP EMB ...       improve agents by latent search, and evaluate them
  embrl agents walk POP EMB A B ...      walk from one agent to another, in figures and animations
  embrl agents report POP EMB ...        write all evidence to a folder: tables, figures, animations

embrl agents COMMAND --help lists the flags of a command."""


def agents(arguments: Sequence[str]) -> None:
    """Run a command of `embrl agents`."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(USAGE)
        return
    if not arguments or arguments[0].startswith("-"):
        raise EmbrlError(f"COMMAND must be one of {', '.join(COMMANDS)}; embrl agents COMMAND ...")
    command, *rest = arguments
    COMMANDS[command](rest)
