"""Random inputs of every kind: each must be taken, or refused in one line."""
