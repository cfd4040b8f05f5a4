"""Saved models: folders that the usual tools open."""

from .folder import CONFIG, VOCABULARY, WEIGHTS, Loaded, load, save, save_weights

__all__ = ["CONFIG", "VOCABULARY", "WEIGHTS", "Loaded", "load", "save", "save_weights"]
