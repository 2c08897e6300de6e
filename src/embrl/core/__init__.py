"""Foundations that every other package builds on; nothing here imports them.

| module | contents |
|---|---|
| `types` | `TimeStep`, `Transition`, and a glossary of letters and words |
| `errors` | `EmbrlError`, `SettingError`, `UnknownNameError`, checks of settings |
| `registry` | `Registry` of names, `load_plugin`, `load_installed_plugins` |
| `spaces` | checks and JSON form of Gymnasium's spaces |
| `nn` | `Linear`, `FactorLinear`, `MLP`; Gaussian and categorical distributions |
| `scaling` | `Scale`, `RunningStats`, `RawBox`: vectors in the form that networks use |
| `statistics` | `Interval`, bootstrap intervals over seeds, areas under learning curves |
| `runtime` | `prepare_jax`, `available_cores` |
"""
