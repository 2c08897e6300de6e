#!/usr/bin/env bash
# The latent method with SAC, one setting for both robots, 300,000 timesteps: results/latent-ROBOT. Needs mujoco,
# pip install 'embrl[gymnasium]'. Hours on 2 cores; after an interruption, the same command continues.
# The ant observes no contact forces, as in v4, which TD7's figures are for.
set -euo pipefail
cd "$(dirname "$0")/.."
for robot in ${@:-HalfCheetah-v5 Ant-v5}; do
  case $robot in
    Ant-*) env=(--env.kwargs include_cfrc_ext_in_observation False --env.max-episode-steps 1000) ;;
    *) env=() ;;
  esac
  .venv/bin/embrl train $robot --method latent --algorithm sac --settings tuned --seeds 3 --total-timesteps 300000 \
    --policy.hidden 128 128 --policy.inputs both --embedding.no-action-network --pretrain.timesteps 5000 "${env[@]}" \
    --online.every 1 --online.gradient-steps 20 --online.batch-size 256 --online.fresh-fraction 0 \
    --evaluation.every 20000 --resume --out runs/latent-$robot
done
