#!/usr/bin/env bash
# PyTorch's exporter to ONNX (dynamo=True, the default) stores a tied table under the last of its names only: the decoder's. The
# older exporter takes the first, the table's.
#
# Version   torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2
# Seen      a table and a decoder that share their weight: the file has decoder.weight, and Gather reads its rows; table.weight
#           is nowhere. (transformers' BertForMaskedLM likewise: cls.predictions.decoder.weight, no word_embeddings.) The decoder's
#           own matrix is a second copy, transposed, without either name.
# Expected  the name that named_parameters() and a file of tied weights keep: the first. Who looks for the table by its name
#           finds none.
# Source    torch.export.export makes every use of a shared tensor a use of its last name;
#           torch/onnx/_internal/exporter/_core.py names initializers after it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2
venv/bin/python -W ignore - <<'PY'
import logging

import onnx
import torch

logging.disable(logging.WARNING)


class Tied(torch.nn.Module):
    """A table of words and a decoder with the same numbers."""

    def __init__(self):
        super().__init__()
        self.table, self.decoder = torch.nn.Embedding(30, 16), torch.nn.Linear(16, 30)
        self.decoder.weight = self.table.weight

    def forward(self, ids):
        return self.decoder(self.table(ids))


def written(**kind):
    """The names in the file, and the one that the rows are read from."""
    torch.onnx.export(model, (torch.tensor([[2, 7, 8, 3]]),), "tied.onnx", verbose=False, **kind)
    graph = onnx.load("tied.onnx").graph
    return {array.name for array in graph.initializer}, next(node.input[0] for node in graph.node if node.op_type == "Gather")


model = Tied().eval()
print("in PyTorch", [name for name, _ in model.named_parameters()])
for kind, kept, lost in (({}, "decoder.weight", "table.weight"), ({"dynamo": False}, "table.weight", "decoder.weight")):
    names, rows = written(**kind)
    print(kind or "by default", "has", sorted(names), "and reads rows from", rows)
    assert kept in names and lost not in names and rows == kept
PY
echo "as described: the behaviour is still there"
