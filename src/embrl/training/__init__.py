"""The one training loop: configuration and key in, metrics and a policy out."""
