"""Experiment files: look-up by name, argument strings, durations, overrides and sweeps."""
