"""Figure 3g: the recommender, with VPG, PPO and SAC."""

from embrl.config.paper import UPDATE
from embrl.core.errors import EmbrlError
from embrl.envs.recommender import RecommenderConfig
from embrl.experiments.panel import Options, Panel
from embrl.experiments.panels.common import (
    FEWER_UPDATES,
    NOT_STATED,
    ahead,
    fewer_updates,
    paper_name,
    published_line,
    tuned_lines,
)

ITEMS = 835
"""As many as in the paper."""
QUICK_ITEMS = 100
PUBLISHED = (
    ("none", "vpg"),
    ("none", "ppo"),
    ("ra", "vpg"),
    ("ra", "ppo"),
    ("ra", "sac"),
    ("jsae", "vpg"),
    ("jsae", "ppo"),
    ("jsae", "sac"),
)
QUICK = (("jsae", "sac"),)
FASTER_SAC = 0.1
"""Updates for each sample."""
QUICK_SAC = 0.02

LOG = (
    "The log of purchases is another one than the paper's (Kechinov 2019), cut to as many items: "
    "levels of return cannot be compared with the paper's, only their order."
)
MIXTURE = (
    "The n-gram model's mixture and smoothing are not in the paper "
    "(docs/environments/recommender.md); nothing is added to the recommended item's probability."
)
UPDATES = (
    f"Continuous updates of the embedding: {UPDATE['gradient_steps']} gradient steps on "
    f"{UPDATE['batch_size']} transitions after every epoch; the paper does not say how many."
)
PRETRAINING = "200,000 samples of pre-training, as on page 18; page 17 says 50,000."
UNREADABLE = (
    "Cells of Table 7 that cannot be read: the dimensions of VPG-JSAE and SAC-RA (8 here), "
    "SAC-RA's std (.6) and batch (256)."
)


def fig3g(options: Options) -> Panel:
    """VPG and PPO; all three with RA and with JSAE."""
    if options.data is None:
        raise EmbrlError("fig3g needs a purchase log: add --data LOG, a CSV or Parquet file")
    items = QUICK_ITEMS if options.quick else ITEMS
    environment, env = "recommender", RecommenderConfig(data=options.data, top_items=items)
    published = [
        fewer_updates(
            published_line(environment, env, method, algorithm, options), options, _updates(options)
        )
        for method, algorithm in (QUICK if options.quick else PUBLISHED)
    ]
    tuned = tuned_lines(environment, env, options)
    if options.quick:
        tuned = [line for line in tuned if line.config.method != "ra"]
    labels = [line.label for line in published]
    claims = []
    for line in published:
        config = line.config
        if config.method == "jsae":
            rivals = [paper_name(method, config.algorithm) for method in ("none", "ra")]
            # SAC without embedding is not in the figure: then the two that are.
            if config.algorithm == "sac":
                rivals = ["VPG", "PPO", *rivals[1:]]
            claims += ahead(line.label, [rival for rival in rivals if rival in labels])
    *others, ours = [line.label for line in tuned]
    claims += ahead(ours, [*labels, *others], final=False)
    deviations = [LOG, MIXTURE, PRETRAINING, UPDATES, UNREADABLE, *NOT_STATED]
    if not options.full_sac:
        deviations.append(FEWER_UPDATES.format(_updates(options)))
    return Panel("fig3g", "Recommender", (*published, *tuned), tuple(claims), tuple(deviations))


def _updates(options: Options) -> float:
    return QUICK_SAC if options.quick else FASTER_SAC
