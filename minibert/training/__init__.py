"""Optimiser, schedule, one step, the loop, state and checkpoints."""
