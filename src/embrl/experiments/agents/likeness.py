"""What the paper found about good and bad agents, as a table and as claims."""

from typing import Any

import numpy as np
from jaxtyping import Float

from embrl.agents.canonical import canonical
from embrl.agents.groups import Groups
from embrl.agents.likeness import likeness, shared_states
from embrl.agents.population import Population
from embrl.agents.similarity import Similarity, kappa, layer_names
from embrl.core.statistics import bootstrap_difference, bootstrap_mean
from embrl.report.claims import Difference, ci95, judge

PAIRS = 1000
"""Of each group at most."""

Measures = dict[str, Float[np.ndarray, " pairs"]]


def measured(
    population: Population, groups: Groups, seed: int, wanted: int = PAIRS
) -> dict[str, Any]:
    """A table with a row for each group and each set of states, the claims, and what they come to.
    See `embrl.agents.likeness`.
    """
    table, architecture = population.table(), population.architecture
    group = groups.of(table["return_mean"])
    w = canonical(architecture, population.weights())
    env, names = population.env.build(), list(map(int, np.unique(group)))
    everywhere = shared_states(env, architecture, w, group, seed)
    own = {name: group == name for name in names}
    sets = {
        "all groups": dict.fromkeys(names, everywhere),
        "their own group": {
            name: shared_states(env, architecture, w[mine], group[mine], seed)
            for name, mine in own.items()
        },
    }
    layers, rows, claims = layer_names(architecture.hidden), [], []
    for on, states in sets.items():
        found = likeness(architecture, w, table["lineage"], group, states, wanted, seed)
        measures = {name: _measures(similarity, layers) for name, similarity in found.items()}
        rows += [
            {
                "group": groups.names[name],
                "on": on,
                "pairs": len(found[name].decisions),
                **{measure: _entry(values) for measure, values in mine.items()},
            }
            for name, mine in measures.items()
        ]
        claims += _claims(measures, groups, layers, on)
    return {
        "states": len(everywhere),
        "rows": rows,
        "claims": claims,
        "verdict": _verdict(claims),
    }


def _verdict(claims: list[dict[str, Any]]) -> str:
    shared = [claim for claim in claims if claim["on"] == "all groups"]
    cka = [claim["holds"] for claim in shared if claim["measure"].startswith("CKA")]
    decisions = [claim["holds"] for claim in shared if not claim["measure"].startswith("CKA")]
    if not cka or not decisions:
        return "There are too few groups to say whether the paper's finding holds."
    words = {True: "yes", False: "no"}
    return (
        "The paper's finding, on states of all groups: good agents decide differently and bad ones "
        f"alike: {words[all(decisions)]}; good agents' representations are more alike than those "
        f"of bad ones: {words[all(cka)]}."
    )


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


def _claims(
    measures: dict[int, Measures], groups: Groups, layers: list[str], on: str
) -> list[dict[str, Any]]:
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
            claims.append(
                judge(f"{text}, on states of {on}", difference, measure=measure, on=on, about=about)
            )
    return claims
