"""Fine-tuning: a trained encoder, a head for a task, labelled examples, and what came of it."""
