"""Measurements and claims of an evidence folder: quality, latent search, similarity."""

from typing import Any

import numpy as np
from jaxtyping import Float

from embrl.agents.canonical import canonical
from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.generate import improve_and_evaluate, sample_held_out, summarize_by_group
from embrl.agents.groups import Groups
from embrl.agents.latent_search import RADIUS
from embrl.agents.population import Population
from embrl.agents.similarity import Similarity, group_similarity, kappa, layer_names, shared_states
from embrl.core.statistics import bootstrap_difference, bootstrap_mean
from embrl.report.claims import Difference, ci95, judge

KEPT = 0.98
"""Fraction of their score that held-out agents of the best group must keep."""
GENERATED = 0.95
"""Fraction of the trained agents' mean score that generated agents must reach."""


def quality_claims(quality: dict[str, dict[str, Any]], groups: Groups) -> list[dict[str, Any]]:
    """Return the claims about each embedding of the best group.

    Held-out agents keep their score after encoding and decoding, and generated agents reach that of
    trained ones. A claim holds if the whole interval lies above its threshold.
    """
    best, found = groups.names[-1], []
    for name, told in quality.items():
        entry = told["groups"].get(best, {})
        if "held_out" in entry:
            kept = entry["held_out"]["kept"]
            found.append(
                judge(
                    f"held-out agents of {best} keep {KEPT:.0%} of their score",
                    _beyond(kept, KEPT, 1.0),
                    embedding=name,
                    value=kept["mean"],
                    k=told["k"],
                )
            )
        if "generated" in entry and "training" in entry:
            # Older summaries lack the floor, which is 0 in Cart-Pole.
            floor = told.get("floor", 0.0)
            mean = entry["training"]["original"]["mean"] - floor
            new = {
                name: None if value is None else value - floor
                for name, value in entry["generated"]["survival"].items()
            }
            found.append(
                judge(
                    f"generated agents of {best} reach {GENERATED:.0%} of the trained ones' mean",
                    _beyond(new, GENERATED, mean),
                    embedding=name,
                    value=(new["mean"] or 0.0) / mean,
                    k=told["k"],
                )
            )
    return found


def _beyond(found: dict[str, float | None], bar: float, unit: float) -> Difference:
    low, high = found["low"], found["high"]
    mean = found["mean"]
    assert mean is not None
    ends = None if low is None or high is None else [low / unit - bar, high / unit - bar]
    return Difference(mean / unit - bar, ends)


def measure_latent_search(
    embedding: AgentEmbedding,
    population: Population,
    groups: Groups,
    agents: int,
    episodes: int,
    seed: int,
) -> dict[str, Any]:
    """Measure the latent search on at most `agents` held-out agents of each group.

    Returns:
        The result of `summarize_by_group`, and the critic's prediction beside what was reached.
    """
    rows = sample_held_out(embedding, population, groups, agents, seed)
    found = improve_and_evaluate(embedding, population, rows, episodes=episodes, seed=seed)
    return {
        "radius": RADIUS,
        "expected": float(found.expected.mean()),
        "found": float(found.after.mean()),
        "groups": summarize_by_group(found, population, groups),
    }


def latent_search_claims(told: dict[str, dict[str, Any]], groups: Groups) -> list[dict[str, Any]]:
    """Return a claim for every embedding and every group but the best.

    The best group's agents leave hardly anything to gain.
    """
    found = []
    for name, entry in told.items():
        for group in groups.names[:-1]:
            if group in entry["groups"]:
                gain = entry["groups"][group]["gain"]
                ends = None if gain["low"] is None else [gain["low"], gain["high"]]
                text = f"held-out agents of {group} score higher after the latent search"
                found.append(judge(text, Difference(gain["mean"], ends), embedding=name))
    return found


PAIRS = 1000
"""Maximum number of pairs of each group."""

Measures = dict[str, Float[np.ndarray, " pairs"]]


def measure_similarity(
    population: Population, groups: Groups, seed: int, wanted: int = PAIRS
) -> dict[str, Any]:
    """Measure how similar the agents of each group decide and represent.

    See `embrl.agents.similarity`.

    Returns:
        A table with a row for each group and set of states, the claims, and a verdict.
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
        found = group_similarity(architecture, w, table["lineage"], group, states, wanted, seed)
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
    """Return the measures by name, without pairs for which kappa or CKA is undefined."""
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
    """Compare the best group with the worst."""
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
