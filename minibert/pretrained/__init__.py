"""Saved models: folders that the usual tools open."""
