"""A summary as a page to read."""

from collections.abc import Sequence
from typing import Any

from embrl.report.numbers import decimals, short_count

MINUS = "\N{MINUS SIGN}"

NOTES = """\
AUC: the mean return over the whole budget of samples, by the trapezoid rule; the curve begins at 0
samples with the return of random actions, so that pre-training counts. Samples to half: until an
evaluation reaches half of the best return known (where random actions earn as much, half way from
these to the best), which are computed by the environment's code; a seed that never does counts with
the whole budget, and the brackets behind say how many seeds did. Intervals are 95 %, bootstrap over
seeds. Worst and best: final returns of single seeds. `published` lines have the paper's settings,
`tuned` ones are baselines whose settings were searched for, `ours` is one setting for all figures.
"""


def markdown(summary: dict[str, Any], pictures: Sequence[str], text: str = "") -> str:
    """README.md of a figure's folder.

    Arguments:
        summary: as `embrl.experiments.reproduce` writes it.
        pictures: names of files beside it.
        text: what else there is to say, below the pictures.
    """
    figure, minutes = summary["figure"], summary["wall_s"] / 60
    parts = [
        f"# {figure}: {summary['title']}",
        f"    {summary['command']}",
        f"{len(summary['curves'])} lines, {minutes:.1f} minutes in all on: {summary['machine']}.",
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
    """A row for each line."""
    digits = decimals(*(curve["final_return_mean"] for curve in curves))
    rows = []
    for curve in curves:
        half = "–"
        if curve["samples_to_half_mean"] is not None:
            half = counted(curve["samples_to_half_mean"], curve["samples_to_half_ci95"])
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
    names = "line, settings, seeds, final return, worst, best, AUC, samples to half, seconds"
    return table(names.split(", "), rows)


def differences_table(differences: Sequence[dict[str, Any]]) -> str:
    """A row for each pair of lines."""
    means = [pair[name]["mean"] for pair in differences for name in ("final_return", "auc")]
    digits = decimals(*means)
    rows = [
        [
            f"{pair['better']} {MINUS} {pair['worse']}",
            *(
                number(pair[name]["mean"], pair[name]["ci95"], digits)
                for name in ("final_return", "auc")
            ),
            "–" if pair["samples_to_half"] is None else counted(*pair["samples_to_half"].values()),
        ]
        for pair in differences
    ]
    return table(["difference", "final return", "AUC", "samples to half"], rows)


def claims_table(claims: Sequence[dict[str, Any]]) -> str:
    """A row for each claim."""
    rows = []
    for claim in claims:
        samples = claim.get("measure") == "samples_to_half"
        show = counted if samples else number
        rows.append(
            [
                claim["claim"],
                "holds" if claim["holds"] else "**does not hold**",
                show(claim["difference"], claim["ci95"]),
            ]
        )
    return table(["claim", "", "by [95 %]"], rows)


def plain(value: float, digits: int | None = None) -> str:
    """A number with a true minus."""
    digits = decimals(value) if digits is None else digits
    return f"{value:.{digits}f}".replace("-", MINUS)


def number(value: float, ci95: list[float] | None, digits: int | None = None) -> str:
    """With its interval, if it has one."""
    interval = "" if ci95 is None else f" [{plain(ci95[0], digits)}, {plain(ci95[1], digits)}]"
    return plain(value, digits) + interval


def counted(value: float, ci95: list[float] | None) -> str:
    """The same for counts of samples."""
    interval = "" if ci95 is None else f" [{short(ci95[0])}, {short(ci95[1])}]"
    return short(value) + interval


def short(value: float) -> str:
    """A count with a true minus."""
    return short_count(round(value)).replace("-", MINUS)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown; all columns but the first are aligned to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])
