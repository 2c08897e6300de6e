"""`embrl agents COMMAND ...`: populations, embeddings, new agents and evidence."""

from collections.abc import Sequence

from embrl.cli.main import run_subcommand
from embrl.core.registry import Registry

COMMANDS = Registry(
    "agents command",
    {
        "collect": "embrl.agents.cli.population:collect",
        "import": "embrl.agents.cli.population:import_",
        "fit": "embrl.agents.cli.fit:fit",
        "generate": "embrl.agents.cli.generate:generate",
        "improve": "embrl.agents.cli.generate:improve",
        "walk": "embrl.agents.cli.evidence:walk",
        "report": "embrl.agents.cli.evidence:report",
    },
)
"""Function of the remaining arguments, by name of the command. To add one, add a line here."""

ABOUT = {
    "collect [ENV]": "Train many small policies at once, and take agents of each along the way.",
    "import FILE ...": "Add policies that were trained elsewhere to a population.",
    "fit POPULATION": "Learn an embedding of the agents of a population.",
    "generate EMBEDDING": "Draw new agents from an embedding.",
    "improve POPULATION EMBEDDING": "Improve agents by latent search, and evaluate them.",
    "walk POPULATION EMBEDDING A B": "Walk from one agent to another, in figures and animations.",
    "report POPULATION EMBEDDING ...": "Measure embeddings, and write all evidence to a folder.",
}
"""Arguments of each command, and the first line of its help text."""


def agents(arguments: Sequence[str]) -> None:
    """Run a command of `embrl agents`."""
    about = "Collect populations of whole agents, and embed them."
    run_subcommand("embrl agents", about, ABOUT, COMMANDS, arguments)
