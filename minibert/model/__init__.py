"""Composites of layers, under the same contract as the layers themselves."""
