"""`embrl agents COMMAND ...`: one file for each command."""

from collections.abc import Sequence

from embrl.core.errors import EmbrlError
from embrl.core.registry import Registry

COMMANDS = Registry(
    "agents command",
    {
        "collect": "embrl.cli.agents.collect:collect",
        "import": "embrl.cli.agents.importing:import_",
        "fit": "embrl.cli.agents.fit:fit",
        "generate": "embrl.cli.agents.generate:generate",
        "improve": "embrl.cli.agents.improve:improve",
        "walk": "embrl.cli.agents.walk:walk",
        "report": "embrl.cli.agents.report:report",
    },
)
"""Name to a function of the arguments after it. A new command is one file and one line here."""

USAGE = """\
usage: embrl agents COMMAND ...

Whole agents: populations of small policy networks, and embeddings of them.

  embrl agents collect [ENV] ...         train very many agents of every skill, and evaluate them
  embrl agents import FILE [FILE ...]    add policies that were trained elsewhere to a population
  embrl agents fit POP ...               learn an embedding of a population's agents
  embrl agents generate EMB ...          draw new agents from an embedding
  embrl agents improve POP EMB ...       take agents uphill in an embedding, and evaluate them
  embrl agents walk POP EMB A B ...      walk from one agent to another, and watch them balance
  embrl agents report POP EMB ...        all evidence in a folder: tables, pictures, animations

embrl agents COMMAND --help says more of each."""


def agents(arguments: Sequence[str]) -> None:
    """Runs a command of agents."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(USAGE)
        return
    if not arguments or arguments[0].startswith("-"):
        raise EmbrlError(
            f"agents what? embrl agents COMMAND, where COMMAND is one of {', '.join(COMMANDS)}"
        )
    command, *rest = arguments
    COMMANDS[command](rest)
