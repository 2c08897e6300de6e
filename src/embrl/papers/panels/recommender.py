"""Figure 3g: the recommender with VPG, PPO and SAC."""

from embrl.config.paper import UPDATE
from embrl.core.errors import EmbrlError
from embrl.envs.recommender import RecommenderConfig
from embrl.papers.panel import Panel, ReproductionOptions
from embrl.papers.panels.common import (
    FEWER_UPDATES,
    NOT_STATED,
    ahead,
    fewer_updates,
    paper_name,
    published_line,
    tuned_lines,
)

ITEMS = 835
"""Number of items in the paper."""
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
"""Updates of SAC per environment step."""
QUICK_SAC = 0.02

LOG = (
    "The purchase log is not the paper's but Kechinov's (2019), cut to the same number of items. "
    "The order of returns can be compared with the paper's, their level cannot."
)
MIXTURE = (
    "The mixture and smoothing of the n-gram model are not in the paper "
    "(docs/environments/recommender.md). Nothing is added to the probability of the recommended "
    "item."
)
UPDATES = (
    f"Online updates of the embedding: {UPDATE['gradient_steps']} gradient steps on "
    f"{UPDATE['batch_size']} transitions after every rollout. The paper does not state their "
    "number."
)
PRETRAINING = "200,000 environment steps of pre-training, as on page 18; page 17 says 50,000."
UNREADABLE = (
    "Illegible cells of Table 7: the dimensions of VPG-JSAE and SAC-RA (8 here), and SAC-RA's "
    "standard deviation (0.6) and batch (256)."
)


def fig3g(options: ReproductionOptions) -> Panel:
    """Return the panel: VPG and PPO without embedding, and VPG, PPO and SAC with RA and JSAE."""
    if options.data is None:
        raise EmbrlError("fig3g needs a purchase log; add --data LOG, a CSV or Parquet file")
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
            # The figure has no SAC without embedding; compare with VPG and PPO instead.
            if config.algorithm == "sac":
                rivals = ["VPG", "PPO", *rivals[1:]]
            claims += ahead(line.label, [rival for rival in rivals if rival in labels])
    *others, ours = [line.label for line in tuned]
    claims += ahead(ours, [*labels, *others], final=False)
    deviations = [LOG, MIXTURE, PRETRAINING, UPDATES, UNREADABLE, *NOT_STATED]
    if not options.full_sac:
        deviations.append(FEWER_UPDATES.format(_updates(options)))
    return Panel("fig3g", "Recommender", (*published, *tuned), tuple(claims), tuple(deviations))


def _updates(options: ReproductionOptions) -> float:
    return QUICK_SAC if options.quick else FASTER_SAC
