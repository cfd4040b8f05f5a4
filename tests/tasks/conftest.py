"""The documents of ``tests/data``: what examples are made of."""

from tests.data.conftest import count, documents, tokenizer

__all__ = ["count", "documents", "tokenizer"]
