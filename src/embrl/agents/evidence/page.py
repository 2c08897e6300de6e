"""README.md of an evidence folder."""

from collections.abc import Mapping, Sequence
from typing import Any

from embrl.agents.evidence.pair_walks import SPACES
from embrl.agents.walks import Pattern
from embrl.report.claims import claims_table, number, plain, table

HOLDS = """\
A claim holds if the 95 % interval of its difference lies on its side. Intervals are percentile
bootstraps: over pairs of agents without a lineage in common for decisions and representations, over
lineages for what agents keep and gain, over agents for new ones, over pairs for walks.
"""


def markdown(summary: dict[str, Any]) -> str:
    """Return the page for a summary."""
    about = summary["population"]
    groups = ", ".join(f"{count:,} of {name}" for name, count in about["groups"].items())
    parts = [
        f"# Agent embeddings: {about['name']}",
        f"    {summary['command']}",
        f"{about['agents']:,} agents {about['architecture']} of {about['lineages']:,} lineages in "
        f"{about['environment']}, evaluated on {about['episodes']} episodes each: {groups}. "
        f"{summary['wall_s'] / 60:.1f} minutes (what was kept from before not counted) on: "
        f"{summary['machine']}. All numbers: [summary.json](summary.json).",
        "## What agents keep, and what new ones reach",
        _quality(summary),
        claims_table(_named(summary["quality_claims"])) if summary["quality_claims"] else "",
        *_shown(summary, "survival-", "map-"),
        "## Survival and novelty",
        _novelty(summary),
        *_shown(summary, "novelty-"),
        "## Walks",
        _rule(summary),
        *(_walks(scope, told) for scope, told in summary["walks"].items()),
        *_shown(summary, "patterns-"),
        *_examples(summary),
        *_latent_search(summary),
        "## Decisions and representations",
        _similarity(summary["similarity"]),
        claims_table(summary["similarity"]["claims"]) if summary["similarity"]["claims"] else "",
        HOLDS,
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _shown(summary: dict[str, Any], *kinds: str) -> list[str]:
    return [
        f"![{picture['text']}]({picture['file']})\n\n{picture['text']}"
        for picture in summary["pictures"]
        if picture["file"].startswith(kinds)
    ]


def _of(interval: Mapping[str, Any] | None, digits: int = 1, scale: float = 1.0) -> str:
    """Format a mean with its interval, as `as_json` and `_mean` return them."""
    if interval is None or interval["mean"] is None:
        return "–"
    ends = interval.get("ci95", [interval.get("low"), interval.get("high")])
    if ends is None or None in ends:
        return plain(scale * interval["mean"], digits)
    return number(scale * interval["mean"], [scale * end for end in ends], digits)


def _quality(summary: dict[str, Any]) -> str:
    rows = []
    for name, told in summary["quality"].items():
        for group, entry in told["groups"].items():
            held, training = entry.get("held_out"), entry.get("training")
            generated = entry.get("generated")
            rows.append(
                [
                    f"{name} ({told['kind']}, k = {told['k']})",
                    group,
                    _of(training and training["original"]),
                    _of(held and held["original"]),
                    _of(held and held["reconstructed"]),
                    _of(held and held["kept"], 1, 100.0),
                    _of(held and held["agreement"], 1, 100.0),
                    _of(generated and generated["survival"]),
                ]
            )
    names = (
        f"embedding, group, training agents, held-out agents, reconstructed, kept (%), decisions "
        f"kept (%), generated: {summary['value']}"
    )
    header = names.split(", ")
    header[-1] = header[-1].partition(":")[0]
    floors = {told.get("floor", 0.0) for told in summary["quality"].values()}
    kept = "".join(f" Fractions are measured from {plain(floor)}." for floor in floors if floor)
    return f"Mean {summary['value']}, with 95 % intervals.{kept}\n\n" + table(header, rows)


def _novelty(summary: dict[str, Any]) -> str:
    rows = []
    for name, told in summary["novelty"].items():
        for point in told["points"]:
            above = point.get("above")
            if above is None:
                continue
            rows.append(
                [
                    name,
                    {"embedding": "prior"}.get(point["generator"], point["generator"]),
                    f"{point['setting']:g}",
                    _of(point["survival"]),
                    plain(point["weights"], 3),
                    plain(point["decisions"], 3),
                    *(plain(above[column], 1) for column in above),
                ]
            )
    columns = ["noise, weights", "noise, decisions", "average, weights", "average, decisions"]
    matched = dict.fromkeys(told["matched"] for told in summary["novelty"].values())
    text = (
        f"New agents that are to match group {', '.join(matched)}: of each embedding, at several "
        "spreads of its prior, drawn as it is or guided by a critic; and their margin above the "
        "best that noise on training agents, or averages of pairs of them, reach at the same "
        "novelty or more (0 or more: on the frontier or above it).\n\n"
    )
    header = ["embedding", "drawn from", "spread", "score", "weights", "decisions", *columns]
    text += table(header, rows)
    verdicts = []
    for name, told in summary["novelty"].items():
        good = [
            f"{point['setting']:g}{' (guided)' * (point['generator'] == 'guided')}"
            for point in told["points"]
            if "above" in point and all(value >= 0 for value in point["above"].values())
        ]
        where = f"at spread {', '.join(good)}" if good else "at no spread"
        verdicts.append(
            f"- {name}: on or above the frontier of both trivial generators, in both novelties, "
            f"{where}."
        )
    return text + "\n\n" + "\n".join(verdicts)


def _latent_search(summary: dict[str, Any]) -> list[str]:
    if not summary["latent_search"]:
        return []
    radius = next(iter(summary["latent_search"].values()))["radius"]
    text = (
        f"Held-out agents, at most {summary['config']['agents']:,} of each group, encoded, moved "
        "along the gradient of what a critic (fitted to the embedding's training agents) predicts "
        f"less a standard deviation of its members, at most {radius:g} standard deviations far, "
        "and decoded. *Decoded* is the same without the search. Better and worse are fractions of "
        f"agents, by mean {summary['value']} over the same episodes. Only for embeddings of all "
        "groups: a critic needs bad agents too."
    )
    rows = [
        [
            name,
            group,
            f"{entry['agents']:,}",
            *(_of(entry[side]) for side in ("before", "decoded", "after", "gain")),
            *(_of(entry[share], 1, 100.0) for share in ("better", "worse")),
        ]
        for name, told in summary["latent_search"].items()
        for group, entry in told["groups"].items()
    ]
    header = ["embedding", "group", "agents", "before", "decoded", "after", "gain"]
    found = ["## Latent search", text, table([*header, "better (%)", "worse (%)"], rows)]
    found += [
        f"- {name}: where the search ends the critic predicts {plain(told['expected'], 1)} on "
        f"average, the decoded agents reach {plain(told['found'], 1)}."
        for name, told in summary["latent_search"].items()
    ]
    if summary["latent_search_claims"]:
        found.append(claims_table(_named(summary["latent_search_claims"])))
    return found


def _rule(summary: dict[str, Any]) -> str:
    config, margin = summary["config"], summary["margin"]
    who = "all agents" if config["everybody"] else "held-out agents"
    return (
        f"{config['pairs']:,} pairs of {who} of each scope, as many of every two groups as of any "
        f"other; 13 coefficients from {plain(-1, 0)} to 2, {config['walk_episodes']} episodes at "
        f"each, the same for all. The margin of the rule is {margin:g}: a hill rises above the "
        "better end by more than that somewhere between the ends, a valley falls below the "
        "worse end, a slope joins two different ends and hardly falls on the way "
        "(`embrl.agents.walks.WalkRule`). In the latent space the ends are decoded agents. The "
        "best extrapolation is chosen on half of the episodes and measured on the others; "
        "*beats* counts gains above the margin among pairs whose better end leaves room for that."
    )


def _walks(scope: str, told: dict[str, Any]) -> str:
    rows = [
        [
            space_words(space),
            *(_of(entry["shares"][str(pattern)], 1, 100.0) for pattern in Pattern),
            _of(entry["between"]),
        ]
        for space, entry in told["spaces"].items()
    ]
    text = f"### {scope_words(scope)}\n\n"
    text += "Fraction of pairs (%), and the mean score of the points in between.\n\n"
    text += table(["space", *map(str, Pattern), "between"], rows)
    text += "\n\nExtrapolation: gain over the better end (mean), and how often it beats it (%).\n\n"
    rows = [
        [
            space_words(space),
            pattern,
            f"{entry['pairs']:,}",
            _of(entry["gain"]),
            f"{entry['with_room']:,}",
            _of(entry["beats"], 1, 100.0),
        ]
        for space, of in told["spaces"].items()
        for pattern, entry in of["extrapolation"].items()
    ]
    text += table(["space", "pattern", "pairs", "gain", "with room", "beats (%)"], rows)
    return text + "\n\n" + claims_table(_named(told["claims"]))


def _named(claims: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**claim, "claim": f"{claim['embedding']}: {claim['claim']}"} for claim in claims]


def scope_words(scope: str) -> str:
    """Name the agents of a scope."""
    return "All agents" if scope == "all" else f"Agents of group {scope}"


def space_words(name: str) -> str:
    """Name the space of a line; other names than those of `SPACES` are embeddings."""
    return SPACES.get(name, f"latent space of {name}")


def _examples(summary: dict[str, Any]) -> Sequence[str]:
    found = []
    for pattern in ("slope", "valley", "hill"):
        told = summary["examples"].get(pattern)
        if told is None:
            found.append(f"### A {pattern}\n\nNo {pattern} was found that new episodes confirm.")
            continue
        text = "\n".join(f"- {line}" for line in told["text"].splitlines())
        shown = "\n\n".join(
            f"![a {pattern}]({file})" for file in told["files"] if not file.endswith(".json")
        )
        found.append(
            f"### A {pattern}: agents {told['a']} and {told['b']}, {told['embedding']}\n\n{text}"
            f"\n\n{shown}"
        )
    return found


def _similarity(told: dict[str, Any]) -> str:
    if not told["rows"]:
        return "No group has two lineages."
    measures = [name for name in told["rows"][0] if name not in ("group", "on", "pairs")]
    rows = [
        [
            row["group"],
            row["on"],
            str(row["pairs"]),
            *(_of(row[measure], 3) for measure in measures),
        ]
        for row in told["rows"]
    ]
    text = (
        f"Pairs of agents of a group, on {told['states']:,} states: those that agents of all "
        "groups visit, as many of each group, and those that agents of their own group visit. "
        "Agreement: fraction of states with the same action; kappa: agreement beyond chance; "
        "CKA: similarity of a hidden layer's activations.\n\n"
    )
    text += table(["group", "states of", "pairs", *measures], rows)
    return f"{text}\n\n{told['verdict']}"
