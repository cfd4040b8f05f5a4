"""BERT written out by hand: every forward pass beside its backward pass."""
