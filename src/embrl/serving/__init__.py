"""A policy over HTTP: JSON in, actions out, with or without a catalogue of items in a store."""
