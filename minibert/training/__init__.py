"""Optimiser, schedule, workers, trainer and checkpoints."""
