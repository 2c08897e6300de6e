#!/usr/bin/env bash
# The searches behind the equally tuned baselines of the panels (src/embrl/experiments/baselines.py),
# and the same search for ours: 18 points x 2 seeds each, on --seed 1, which no panel uses.
# LOG: the purchase log (docs/environments/recommender.md). ONLY: environments, if not all.
set -euo pipefail
cd "$(dirname "$0")/.."
plain="--over hyper.actor_lr 3e-3 1e-2 3e-2 --over hyper.critic_lr 3e-3 1e-2 3e-2 --over hyper.gamma 0.95 0.99"
embedded="--over hyper.actor_lr 1e-3 3e-3 1e-2 --over policy.std 0.3 0.6 1.0 --over hyper.gamma 0.95 0.99"

search() { # environment, samples, flags of the environment
  local env=$1 samples=$2; shift 2
  case " ${ONLY:-$env} " in *" $env "*) ;; *) return 0 ;; esac
  for method in none ra jsae; do
    # The recommender's f asks the model: no setting of the policy matters to ours.
    [ "$env $method" = "recommender jsae" ] && continue
    local settings=tuned grid=$embedded
    [ "$method" = none ] && grid=$plain
    [ "$method" = jsae ] && settings=best
    .venv/bin/embrl sweep "$env" "$@" --method $method --algorithm ppo --settings $settings \
      $grid --rows 12 --seeds 2 --samples "$samples" --resume --out "results/sweeps/$env-$method"
  done
}

search gridworld 150000 --env.actuators 9
search continuous_gridworld 150000 --env.actuators 9
search slot_machine 100000
search recommender 200000 --env.data "${LOG:-}" --env.top-items 835

# A second round for the baselines, at the panels' length: what learns fastest in 150,000 samples may collapse
# afterwards.
again() { # environment, samples, method, what to search, flags of the environment
  local env=$1 samples=$2 method=$3 over=$4; shift 4
  case " ${ONLY:-$env} " in *" $env "*) ;; *) return 0 ;; esac
  .venv/bin/embrl sweep "$env" "$@" --method "$method" --algorithm ppo --settings tuned \
    $over --rows 12 --seeds 2 --samples "$samples" --resume --out "results/sweeps/$env-$method-long"
}

again gridworld 1000000 none "--over hyper.actor_lr 1e-3 3e-3 1e-2 --over hyper.critic_lr 1e-2 3e-2 --over hyper.gamma 0.99" --env.actuators 9
again gridworld 1000000 ra "--over hyper.actor_lr 3e-3 1e-2 --over policy.std 0.6 1.0 --over hyper.gamma 0.99" --env.actuators 9
