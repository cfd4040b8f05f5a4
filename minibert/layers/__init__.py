"""The layers of BERT. One module each, a pure ``forward`` beside its ``backward``."""
