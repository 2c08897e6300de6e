"""Transitions: collected, stored, and drawn for training.

| module | contents |
|---|---|
| `rollout`, `host_rollout` | steps of a policy in parallel environments, compiled or on the host |
| `replay` | `Replay`: a ring buffer; `draw_segments`: consecutive steps at random |
| `sources` | recorded transitions: arrays, `.npz` and Parquet files, Minari data sets |
"""
