#!/usr/bin/env bash
# results/ablation: every method with every algorithm, about an hour on 2 cores.
set -euo pipefail
cd "$(dirname "$0")/.."
ALGORITHMS=${*:-vpg ppo sac}
for algorithm in $ALGORITHMS; do
  for method in jsae dct latent autoencoder ra random none; do
    .venv/bin/embrl train gridworld --env.walls released --env.actuators 9 --method $method --algorithm $algorithm --settings tuned \
      --seeds 10 --total-timesteps 300000 --resume --out runs/ablation/$algorithm-$method
  done
  .venv/bin/embrl compare runs/ablation/$algorithm-{jsae,dct,latent,autoencoder,ra,random,none} --level 0.5 --out runs/ablation/$algorithm
done
