"""From text to ids: normalisation, WordPiece, vocabulary training, the tokenizer."""
