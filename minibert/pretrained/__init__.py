"""Trained models: folders in the formats they come in, and folders that the usual tools open."""

from .families import read_config
from .folder import CONFIG, VOCABULARY, WEIGHTS, Loaded, Trained, bundled, load, save, save_weights

__all__ = ["CONFIG", "VOCABULARY", "WEIGHTS", "Loaded", "Trained", "bundled", "load", "read_config", "save", "save_weights"]
