"""Saved models: folders that the usual tools open."""

from .folder import Loaded, load, save, save_weights

__all__ = ["Loaded", "load", "save", "save_weights"]
