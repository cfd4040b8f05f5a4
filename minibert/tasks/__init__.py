"""What a model learns from: examples with their targets, and batches of them. No model is known here."""
