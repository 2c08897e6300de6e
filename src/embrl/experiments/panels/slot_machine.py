"""Figure 3c: the slot machine."""

from embrl.envs.slot_machine import SlotMachineConfig
from embrl.experiments.panel import Options, Panel
from embrl.experiments.panels.common import NOT_STATED, ahead, published_line, tuned_lines

REELS = (
    "The reels are those of the released code. With them the best return is 480, while the axis of "
    "the paper's figure ends near 300."
)


def fig3c(options: Options) -> Panel:
    """VPG without embedding, with RA and with JSAE."""
    environment = "slot_machine"
    env = SlotMachineConfig(fractions=4) if options.quick else SlotMachineConfig()
    published = [
        published_line(environment, env, method, "vpg", options)
        for method in ("none", "ra", "jsae")
    ]
    tuned = tuned_lines(environment, env, options)
    *baselines, jsae = [line.label for line in published]
    *others, ours = [line.label for line in tuned]
    claims = ahead(jsae, baselines) + ahead(ours, [*baselines, *others, jsae], final=False)
    return Panel("fig3c", "Slot machine", (*published, *tuned), tuple(claims), (REELS, *NOT_STATED))
