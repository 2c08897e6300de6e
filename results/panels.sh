#!/usr/bin/env bash
# The panels of the paper's figures, with ours and equally tuned baselines: results/fig*. Hours on 2 cores; after an
# interruption, the same command continues. LOG: the purchase log (docs/environments/recommender.md).
set -euo pipefail
cd "$(dirname "$0")/.."
for figure in fig2 fig3a fig3b fig3c fig3e; do
  .venv/bin/embrl reproduce $figure --out results/$figure
done
.venv/bin/embrl reproduce fig3g --data "${LOG:?name a purchase log}" --out results/fig3g
# Robots need mujoco, pip install 'embrl[gymnasium]'. fig3f takes a night.
.venv/bin/embrl reproduce fig3d --seeds 5 --out results/fig3d
.venv/bin/embrl reproduce fig3f --seeds 3 --out results/fig3f
# Swept walls, with the default, which explores more there.
.venv/bin/embrl train gridworld --env.actuators 9 --env.walls swept \
  --seeds 10 --total-timesteps 1000000 --resume --out runs/gridworld-512-swept-best
.venv/bin/embrl plot runs/gridworld-512-swept-best
.venv/bin/python results/collect.py runs/gridworld-512-swept-best
