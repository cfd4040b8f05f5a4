"""From text to ids: normalisation, WordPiece, vocabulary training, the tokenizer."""

from .tokenizer import Encoding, Tokenizer
from .vocabulary import Vocabulary

__all__ = ["Encoding", "Tokenizer", "Vocabulary"]
