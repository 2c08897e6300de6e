#!/usr/bin/env bash
# Why JSAE as published falls behind on 512 actions, one setting changed at a time (docs/reproduction.md).
# About 30 minutes on 2 cores.
set -euo pipefail
cd "$(dirname "$0")/.."
one() {
  local name=$1; shift
  .venv/bin/embrl train gridworld --env.actuators 9 --settings paper --seeds 10 --samples 1000000 \
    --resume --out "runs/explain/$name" "$@"
}
one published
one actor-rate-3e-4 --vpg.actor-lr 3e-4 --vpg.std-lr 3e-4
one actor-rate-1e-3 --vpg.actor-lr 1e-3 --vpg.std-lr 1e-3
one bounded-mean --policy.bounded
one metric-head --model.head metric
one drawn-f --f.kind softmax
one credit-to-g --policy.credit "g(a)"
one reward-too --objectives forward 1 reward 0.1
one walls-swept --env.walls swept
.venv/bin/embrl compare runs/explain/* --baseline published --level 0.48 --out results/explain
