"""From text to ids: normalisation, WordPiece, vocabulary training, the tokenizer."""

from .reading import Reading, UnknownText
from .tokenizer import Encoding, Tokenizer
from .vocabulary import Vocabulary

__all__ = ["Encoding", "Reading", "Tokenizer", "UnknownText", "Vocabulary"]
