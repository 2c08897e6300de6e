"""What the ascent in the latent space makes of held-out agents."""

from typing import Any

from embrl.agents.ascend import RADIUS
from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.groups import Groups
from embrl.agents.improving import by_group, held_out_of_each, improved
from embrl.agents.population import Population
from embrl.report.claims import Difference, judge


def ascended(
    embedding: AgentEmbedding,
    population: Population,
    groups: Groups,
    agents: int,
    episodes: int,
    seed: int,
) -> dict[str, Any]:
    """Of at most `agents` held-out agents of each group (`by_group`), and how wrong the critic was
    about where they came to. The embedding must be of all groups.
    """
    rows = held_out_of_each(embedding, population, groups, agents, seed)
    found = improved(embedding, population, rows, episodes=episodes, seed=seed)
    return {
        "radius": RADIUS,
        "expected": float(found.expected.mean()),
        "found": float(found.after.mean()),
        "groups": by_group(found, population, groups),
    }


def claims(told: dict[str, dict[str, Any]], groups: Groups) -> list[dict[str, Any]]:
    """For every embedding and group but the best, whose agents leave hardly anything to gain."""
    found = []
    for name, entry in told.items():
        for group in groups.names[:-1]:
            if group in entry["groups"]:
                gain = entry["groups"][group]["gain"]
                ends = None if gain["low"] is None else [gain["low"], gain["high"]]
                text = f"held-out agents of {group} are worth more after the ascent"
                found.append(judge(text, Difference(gain["mean"], ends), embedding=name))
    return found
