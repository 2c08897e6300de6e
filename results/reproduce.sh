#!/usr/bin/env bash
# Everything in this folder, in about 15 minutes on 2 cores. LOG: the purchase log (docs/environments/recommender.md).
set -euo pipefail
cd "$(dirname "$0")/.."
LOG=${LOG:?name a purchase log}
train() { .venv/bin/embrl train "$@" --algorithm vpg --settings tuned --resume; }
grid() { train gridworld --env.walls released --seeds 10 --total-timesteps 1000000 "$@"; }
shop() { train recommender --env.data "$LOG" --env.top-items 835 --method jsae --seeds 4 --total-timesteps 1000000 "$@"; }

grid --env.actuators 9 --method jsae --out runs/gridworld-512
grid --env.actuators 11 --method jsae --out runs/gridworld-2048
grid --env.actuators 5 --method jsae --out runs/gridworld-32
train gridworld --env.actuators 9 --env.walls swept --method jsae --seeds 10 --total-timesteps 1000000 --out runs/gridworld-512-swept
train gridworld --env.actuators 9 --embedding.state-dim 2 --embedding.action-dim 2 --pretrain.gradient-steps 5000 --seeds 4 --total-timesteps 100000 --out runs/gridworld-512-plane
shop --out runs/recommender
shop --env.added-probability 0.05 --out runs/recommender-added
grid --env.actuators 9 --method none --out runs/gridworld-512-none

for run in gridworld-512 gridworld-2048 gridworld-32 gridworld-512-none gridworld-512-swept recommender recommender-added; do
  .venv/bin/embrl plot "runs/$run"
done
.venv/bin/embrl plot runs/gridworld-512-plane --seed 2
.venv/bin/embrl compare runs/gridworld-{512,2048,32,512-none} --level 0.5 --out runs/all
.venv/bin/embrl compare runs/gridworld-512 runs/gridworld-512-none --level 0.5 --out runs/comparison
.venv/bin/python results/collect.py runs/{gridworld-512,gridworld-2048,gridworld-32,gridworld-512-none,gridworld-512-swept,recommender,recommender-added,gridworld-512-plane,comparison,all}
