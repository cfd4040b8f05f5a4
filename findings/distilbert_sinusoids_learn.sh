#!/usr/bin/env bash
# transformers: DistilBERT's sinusoidal positions are trained like any table, although they are built with requires_grad
# = False.
#
# Version   transformers 5.24.0, torch 2.13.0
# Seen      with sinusoidal_pos_embds=True the table asks for a gradient, gets one, and one step of SGD moves it.
# Expected  fixed positions: the code that makes them sets requires_grad = False and detaches;
#           resize_position_embeddings calls them "not learned".
# Source    transformers/models/distilbert/modeling_distilbert.py, _init_weights: create_sinusoidal_embeddings writes to
#           torch.empty_like(weight), and the values alone are copied.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 transformers==5.24.0
venv/bin/python - <<'PY'
import torch
from transformers import DistilBertConfig, DistilBertModel, logging

logging.set_verbosity_error()
torch.manual_seed(0)
model = DistilBertModel(DistilBertConfig(vocab_size=30, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=8,
                                         sinusoidal_pos_embds=True, dropout=0.0, attention_dropout=0.0))
positions = model.embeddings.position_embeddings.weight
before = positions.detach().clone()
angle = torch.tensor(1.0)
assert torch.allclose(before[1, :2], torch.stack([angle.sin(), angle.cos()]))  # they are the sinusoids
states = model(torch.tensor([[2, 7, 8, 3]])).last_hidden_state
(states * torch.randn_like(states)).sum().backward()
torch.optim.SGD(model.parameters(), 0.1).step()
print("requires_grad:", positions.requires_grad, " moved by", float((positions.detach() - before).norm()))
assert positions.requires_grad
assert float((positions.detach() - before)[:4].norm()) > 1e-3
PY
echo "as described: the behaviour is still there"
