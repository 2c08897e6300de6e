#!/usr/bin/env bash
# The searches behind the equally tuned baselines of the panels (src/embrl/papers/panels/common.py),
# and the same search for ours: 18 points and 2 seeds each, on --seed 1, which no panel uses.
# LOG: the purchase log (docs/environments/recommender.md). ONLY: environments, if not all.
set -euo pipefail
cd "$(dirname "$0")/.."
plain="--over ppo.actor_lr 3e-3 1e-2 3e-2 --over ppo.critic_lr 3e-3 1e-2 3e-2 --over ppo.gamma 0.95 0.99"
embedded="--over ppo.actor_lr 1e-3 3e-3 1e-2 --over policy.std 0.3 0.6 1.0 --over ppo.gamma 0.95 0.99"

wanted() { case " ${ONLY:-$1} " in *" $1 "*) ;; *) return 1 ;; esac; }

sweep() { # folder, then what embrl sweep takes
  local folder=$1; shift
  .venv/bin/embrl sweep "$@" --algorithm ppo --replicas 12 --seeds 2 --resume --out "results/sweeps/$folder"
}

search() { # environment, timesteps, flags of the environment
  local env=$1 timesteps=$2; shift 2
  wanted "$env" || return 0
  for method in none ra jsae; do
    # In the recommender the model chooses: no setting of the policy matters to ours.
    [ "$env $method" = "recommender jsae" ] && continue
    local settings=tuned grid=$embedded
    [ "$method" = none ] && grid=$plain
    [ "$method" = jsae ] && settings=best
    sweep "$env-$method" "$env" "$@" --method $method --settings $settings $grid --total-timesteps "$timesteps"
  done
}

search gridworld 150000 --env.actuators 9
search continuous_gridworld 150000 --env.actuators 9
search slot_machine 100000
search recommender 200000 --env.data "${LOG:-}" --env.top-items 835

# A second round for the baselines, at the panels' length: what learns fastest in 150,000 timesteps may collapse
# afterwards.
again() { # environment, timesteps, method, what to search, flags of the environment
  local env=$1 timesteps=$2 method=$3 over=$4; shift 4
  wanted "$env" || return 0
  sweep "$env-$method-long" "$env" "$@" --method "$method" --settings tuned $over --total-timesteps "$timesteps"
}

again gridworld 1000000 none "--over ppo.actor_lr 1e-3 3e-3 1e-2 --over ppo.critic_lr 1e-2 3e-2 --over ppo.gamma 0.99" --env.actuators 9
again gridworld 1000000 ra "--over ppo.actor_lr 3e-3 1e-2 --over policy.std 0.6 1.0 --over ppo.gamma 0.99" --env.actuators 9
