#!/usr/bin/env bash
# Agent embeddings, everything in results/agents: a population of 10,000 Cart-Pole agents, embeddings of it, and the
# evidence. About an hour on 2 cores; after an interruption, the same command continues.
set -euo pipefail
cd "$(dirname "$0")/.."
population=runs/agents/population
.venv/bin/embrl agents collect cart_pole --resume --out $population

fitted() { # name, flags
  local name=$1; shift
  [ -f "runs/agents/$name/summary.json" ] || .venv/bin/embrl agents fit $population --resume --out "runs/agents/$name" "$@"
}
fitted fingerprint-all --kind fingerprint --k 32 --beta 1e-4
fitted fingerprint-best --kind fingerprint --group best
fitted behaviour-best --kind behaviour --group best
for group in 0 1 2 best all; do  # the paper's model, of each group and of all
  fitted vae-$group --kind vae --group $group
done
.venv/bin/embrl agents report $population \
  runs/agents/{fingerprint-all,fingerprint-best,behaviour-best,vae-best,vae-all} --out results/agents
for group in 0 1 2; do cp runs/agents/vae-$group/summary.json results/agents/vae-$group.json; done

# A second population, as nothing depends on Cart-Pole.
acrobot=runs/agents/acrobot
.venv/bin/embrl agents collect acrobot --lineages 400 --checkpoints 0 24 48 96 192 --resume --out $acrobot
[ -f $acrobot-fingerprint/summary.json ] || .venv/bin/embrl agents fit $acrobot --kind fingerprint --k 16 \
  --beta 1e-4 --steps 4000 --resume --out $acrobot-fingerprint
.venv/bin/embrl agents report $acrobot $acrobot-fingerprint --pairs 200 --agents 200 --walk-episodes 4 \
  --episodes 20 --out results/agents-acrobot
