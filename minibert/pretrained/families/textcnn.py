"""TextCNN: convolutions over the words in the place of attention, one vector for a text, and a word of it to be guessed.

No other library has a class for it, so its names are ours. There are no token types: the original adds one vector to every token,
which the norm behind the first convolution takes away again. It has 128 filters of each width, over words of 128 numbers; so has
the preset tiny, and others as many filters as numbers, too.

Source: brightmart/bert_language_understanding ``bert_cnn_model.py``; see ``model.textcnn``.
"""

from __future__ import annotations

from types import MappingProxyType

from minibert.pretrained.families.table import Family

WIDTHS = (2, 3, 4, 5)


TEXTCNN = Family(
    "textcnn", "TextCNN", "TextCNN", "textcnn",
    defaults=MappingProxyType({
        "num_hidden_layers": 2, "num_attention_heads": 1, "hidden_size": 512, "embedding_size": 128, "filter_sizes": WIDTHS,
        "type_vocab_size": 0, "layer_norm_eps": 1e-3, "max_position_embeddings": 200}),
    sizes=MappingProxyType({"base": {}}),
    scaled=lambda layers, hidden, heads: {"embedding_size": hidden, "hidden_size": len(WIDTHS) * hidden},
    structure=lambda values: MappingProxyType({"pooler": "max", "objectives": ("mlm",)}),
    own=frozenset({"embedding_size", "filter_sizes"}),
)
