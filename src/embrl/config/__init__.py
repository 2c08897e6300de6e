"""Configuration of a run.

| module | contents |
|---|---|
| `run` | `RunConfig` and its sections, each of which validates itself; `as_json`, `from_json` |
| `defaults` | the default settings, and the named sets `best`, `tuned` and `paper` |
| `paper` | the settings that Pritz et al. (2021) published |
| `settings_by_name` | settings by dotted name, as `ppo.gamma`, and which of them a sweep may vary |
| `schedule` | stages and sizes that follow from the settings |
| `validation` | how settings fit together, and to the environment |
"""
