"""README.md of a panel's folder, made from its summary."""

from collections.abc import Sequence
from typing import Any

from embrl.report.claims import MINUS, claims_table, counted, number, plain, table
from embrl.report.drawing import decimals

NOTES = """\
AUC: the mean return over the whole budget of environment steps, by the trapezoid rule. The curve
starts at 0 steps with the return of random actions, so pre-training counts. Steps to half: the
environment steps until an evaluation reaches half of the best known return or, where random actions
earn that much, half way from the random to the best known return; the environment's code computes
both. A seed that never does counts with the whole budget, and the number of seeds that did is given
in parentheses. Intervals are 95 % bootstrap intervals over seeds. Worst and best: final returns of
single seeds. `published` lines have the paper's settings, `tuned` lines are baselines whose
settings were found by a search, and `ours` is a single setting for all figures.
"""


def markdown(summary: dict[str, Any], pictures: Sequence[str], text: str = "") -> str:
    """Return README.md of a panel's folder.

    Args:
        summary: The summary that `embrl.papers.reproduce` writes.
        pictures: Names of figures in the same folder.
        text: Markdown text to add below the figures.
    """
    figure, minutes = summary["figure"], summary["wall_s"] / 60
    parts = [
        f"# {figure}: {summary['title']}",
        f"    {summary['command']}",
        f"{len(summary['curves'])} lines, {minutes:.1f} minutes of training in total on: "
        f"{summary['machine']}.",
        *(f"![{figure}]({picture})" for picture in pictures),
        text,
    ]
    if any(curve["drawn"] for curve in summary["curves"]):
        parts += ["## Lines", lines_table(summary["curves"]), NOTES]
    if summary["differences"]:
        parts += ["## Differences", differences_table(summary["differences"])]
    parts += ["## Claims", claims_table(summary["claims"])]
    if summary["deviations"]:
        parts += [
            "## Deviations from the paper",
            "\n".join(f"- {deviation}" for deviation in summary["deviations"]),
        ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def lines_table(curves: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table with a row for each line."""
    digits = decimals(*(curve["final_return_mean"] for curve in curves))
    rows = []
    for curve in curves:
        half = "–"
        if curve["timesteps_to_half_mean"] is not None:
            half = counted(curve["timesteps_to_half_mean"], curve["timesteps_to_half_ci95"])
            half += f" ({curve['seeds_at_half']} of {curve['seeds']})"
        rows.append(
            [
                curve["label"] + ("" if curve["drawn"] else " (source)"),
                curve["group"],
                str(curve["seeds"]),
                number(curve["final_return_mean"], curve["final_return_ci95"], digits),
                *(plain(curve[f"final_return_{end}"], digits) for end in ("worst", "best")),
                number(curve["auc_mean"], curve["auc_ci95"], digits),
                half,
                f"{curve['wall_s']:.0f}",
            ]
        )
    names = "line, settings, seeds, final return, worst, best, AUC, steps to half, seconds"
    return table(names.split(", "), rows)


def differences_table(differences: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table with a row for each pair of lines."""
    means = [pair[name]["mean"] for pair in differences for name in ("final_return", "auc")]
    digits = decimals(*means)
    rows = [
        [
            f"{pair['better']} {MINUS} {pair['worse']}",
            *(
                number(pair[name]["mean"], pair[name]["ci95"], digits)
                for name in ("final_return", "auc")
            ),
            "–"
            if pair["timesteps_to_half"] is None
            else counted(*pair["timesteps_to_half"].values()),
        ]
        for pair in differences
    ]
    return table(["difference", "final return", "AUC", "steps to half"], rows)
