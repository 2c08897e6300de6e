#!/usr/bin/env bash
# Why JSAE as published falls behind, one setting changed at a time (docs/reproduction.md): on 512 actions, on the
# slot machine, on the recommender and on robots. On 2 cores, beside other work, gridworld took 69 minutes, slots 36
# and shop 33; robots (pip install 'embrl[gymnasium,envpool]') take a
# quarter of an hour a run. LOG: the purchase log (docs/environments/recommender.md). ONLY: some of gridworld,
# slots, shop, ant and cheetah, if not all.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted() { case " ${ONLY:-$1} " in *" $1 "*) ;; *) return 1 ;; esac; }
run() { # folder, name, then the run's flags
  local name=$1/$2; shift 2
  .venv/bin/embrl train "$@" --resume --out "runs/explain/$name"
}
one() { run "$@" --settings paper; }
vpg() { one "$@" --algorithm vpg; }
grid() { vpg gridworld "$1" gridworld --env.actuators 9 --seeds 10 --total-timesteps 1000000 "${@:2}"; }
slots() { vpg slots "$1" slot_machine --seeds 10 --total-timesteps 500000 "${@:2}"; }
shop() {
  one shop "$1" recommender --env.data "${LOG:?name a purchase log}" --env.top-items 835 --algorithm ppo \
    --seeds 5 --total-timesteps 1000000 "${@:2}"
}
ant() {
  vpg ant "$1" Ant-v5 --env.max-episode-steps 1000 --seeds 3 --total-timesteps 1000000 "${@:2}"
}
cheetah() {
  run cheetah "$1" HalfCheetah-v5 --algorithm ppo --settings tuned --env.vector envpool --seeds 2 --total-timesteps 200000 "${@:2}"
}
pool() { ant "$@" --env.vector envpool; }
bare() { ant "$1-no-contact-forces" "${@:2}" --env.kwargs include_cfrc_ext_in_observation False; }
table() { # folder, the run that others are compared with, then flags
  .venv/bin/embrl compare runs/explain/"$1"/* --baseline "$2" --out results/explain/"$1" "${@:3}"
}

if wanted gridworld; then
  grid published
  grid actor-rate-3e-4 --vpg.actor-lr 3e-4 --vpg.std-lr 3e-4
  grid actor-rate-1e-3 --vpg.actor-lr 1e-3 --vpg.std-lr 1e-3
  grid bounded-mean --policy.bounded
  grid metric-head --embedding.head metric
  grid drawn-f --decoder.kind softmax
  grid credit-to-g --policy.credit "g(a)"
  grid reward-too --objectives forward 1 reward 0.1
  grid walls-swept --env.walls swept
  table gridworld published --level 0.48
fi
if wanted slots; then
  slots published
  slots joint-target --env.observed joint
  slots metric-head --embedding.head metric
  slots wider --embedding.state-dim 16 --embedding.action-dim 8
  slots wider-and-longer --embedding.state-dim 16 --embedding.action-dim 8 --pretrain.gradient-steps 1500
  table slots published
fi
if wanted shop; then
  shop published
  shop added-.05 --env.added-probability 0.05
  shop added-.05-no-embedding --env.added-probability 0.05 --method none
  shop added-.05-ra --env.added-probability 0.05 --method ra
  table shop published
fi
if wanted ant; then
  # As published (a std of .6) they are in results/fig3f.
  pool vpg-jsae-std-.15 --policy.std .15
  pool vpg-std-.4 --method none --policy.std .4
  bare vpg-jsae-std-.15 --policy.std .15
  bare vpg-std-.4 --method none --policy.std .4
  bare vpg-std-.25 --method none --policy.std .25
  table ant vpg-std-.25-no-contact-forces
fi
if wanted cheetah; then # our own settings
  cheetah std-in-actions
  cheetah std-in-e --policy.std-unit embedding
  cheetah no-embedding --method none
  table cheetah std-in-e
fi
