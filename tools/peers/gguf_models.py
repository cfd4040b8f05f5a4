"""The small models in ``tests/pretrained/gguf-0.19``: made by llama.cpp's own converter, taken apart by the ``gguf`` package.

    pip install torch==2.13.0 transformers==5.24.0 gguf==0.19.0
    PYTHONPATH=. python tools/peers/gguf_models.py LLAMA_CPP

Outside CI. LLAMA_CPP: its source; the archive of llama-cpp-python 0.3.36 has it in ``vendor/llama.cpp``. The converter knows a
tokenizer by a checksum of what it makes of a text, and no small one: an answer for BERT's is put there.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers

from tests import tiny_model

FOLDER = Path(__file__).parents[2] / "tests" / "pretrained" / "gguf-0.19"


def save_model(folder: Path) -> None:
    """A small one whose biases and norms are random too; rows are as wide as a block of Q8_0, and two have no token."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tiny_model.TOKENS) + 2, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=8)
    made = transformers.BertModel(config)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    made.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(tiny_model.TOKENS) + "\n", encoding="utf-8")
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)


def main() -> None:
    source = Path(sys.argv[1])
    sys.path[:0] = [str(source / "gguf-py"), str(source)]
    import convert_hf_to_gguf
    import gguf
    from conversion.base import TextModel

    TextModel.get_vocab_base_pre = lambda self, tokenizer: "jina-v2-en"
    FOLDER.mkdir(parents=True, exist_ok=True)
    values = {}
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder))
        for kind in ("f32", "f16", "q8_0"):
            path = FOLDER / f"{kind}.gguf"
            sys.argv = ["convert", folder, "--outtype", kind, "--outfile", str(path), "--model-name", "tiny"]
            convert_hf_to_gguf.main()
            if kind != "f16":  # which is the first, rounded
                values |= {f"{kind} {x.name}": gguf.dequantize(x.data, x.tensor_type) for x in gguf.GGUFReader(path).tensors}
    np.savez(FOLDER / "values.npz", **values)


if __name__ == "__main__":
    main()
