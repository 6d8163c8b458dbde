"""Optimisers, learning-rate schedules and weights of loss terms."""
