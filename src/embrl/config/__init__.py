"""Configuration of a run: settings, defaults, the paper's tables, and validation."""
