"""From ids to micro-batches: corpora, sentence pairs, masking, batching."""
