"""What the paper found about good and bad agents, as a table and as claims."""

from typing import Any

import numpy as np
from jaxtyping import Float

from embrl.agents.canonical import canonical
from embrl.agents.groups import Groups
from embrl.agents.likeness import likeness, shared_states
from embrl.agents.population import Population
from embrl.agents.similarity import Similarity, kappa, layer_names
from embrl.experiments.summary import Difference, ci95, judge
from embrl.statistics import bootstrap_difference, bootstrap_mean

PAIRS = 1000
"""Of each group at most."""

Measures = dict[str, Float[np.ndarray, " pairs"]]


def measured(population: Population, groups: Groups, seed: int, wanted: int = PAIRS) -> dict:
    """A table with a row for each group, and the claims. See `embrl.agents.likeness`."""
    table, architecture = population.table(), population.architecture
    group = groups.of(table["return_mean"])
    w = canonical(architecture, population.weights())
    env = population.env.build()
    states = shared_states(env, architecture, w, group, seed)
    found = likeness(architecture, w, table["lineage"], group, states, wanted, seed)
    layers = layer_names(architecture.hidden)
    measures = {name: _measures(similarity, layers) for name, similarity in found.items()}
    return {
        "states": len(states),
        "rows": [
            {
                "group": groups.names[name],
                "pairs": len(found[name].decisions),
                **{measure: _entry(values) for measure, values in mine.items()},
            }
            for name, mine in measures.items()
        ],
        "claims": _claims(measures, groups, layers),
    }


def _measures(found: Similarity, layers: list[str]) -> Measures:
    """Kappa and CKA say nothing where an agent never changes: such pairs are left out."""
    cka = {f"CKA, {name}": found.representations[:, at] for at, name in enumerate(layers)}
    every = {"agreement": found.decisions, "kappa": kappa(found), **cka}
    return {name: values[np.isfinite(values)] for name, values in every.items()}


def _entry(values: Float[np.ndarray, " pairs"]) -> dict[str, Any]:
    if not len(values):
        return {"mean": None, "ci95": None, "pairs": 0}
    found = bootstrap_mean(values)
    return {"mean": float(found.mean), "ci95": ci95(found), "pairs": len(values)}


def _claims(measures: dict[int, Measures], groups: Groups, layers: list[str]) -> list[dict]:
    """The best group against the worst that there is."""
    if len(measures) < 2:
        return []
    worst, best = measures[min(measures)], measures[max(measures)]
    names = groups.names[min(measures)], groups.names[max(measures)]
    about = f"agents of {names[1]} and of {names[0]}"
    wanted = [
        ("agreement", worst, best, "bad agents decide more alike than good ones (agreement)"),
        ("kappa", worst, best, "bad agents decide more alike, beyond chance (kappa)"),
    ]
    wanted += [
        (f"CKA, {name}", best, worst, f"good agents' representations are more alike ({name})")
        for name in layers
    ]
    claims = []
    for measure, more, less, text in wanted:
        if len(more[measure]) and len(less[measure]):
            found = bootstrap_difference(more[measure], less[measure])
            difference = Difference(float(found.mean), ci95(found))
            claims.append(judge(text, difference, measure=measure, about=about))
    return claims
