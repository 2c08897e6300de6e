#!/usr/bin/env bash
# results/transfer: from 512 actions to 2,048 with the states' embedding kept, about 6 minutes on 2 cores.
set -euo pipefail
cd "$(dirname "$0")/.."
run() {
  .venv/bin/embrl train gridworld --env.walls released --method jsae --algorithm ${ALGORITHM:-ppo} --settings tuned --seeds 10 --resume "$@"
}
OUT=runs/transfer/${ALGORITHM:-ppo}
run --env.actuators 9 --total-timesteps 300000 --out $OUT-source
to="--env.actuators 11 --total-timesteps 150000 --evaluation.every 3000"
run $to --out $OUT-anew
run $to --transfer.run $OUT-source --transfer.keep states --out $OUT-embedding
run $to --transfer.run $OUT-source --transfer.keep states --transfer.policy --out $OUT-embedding-and-policy
.venv/bin/embrl compare $OUT-{anew,embedding,embedding-and-policy} --level 0.5 --out $OUT
