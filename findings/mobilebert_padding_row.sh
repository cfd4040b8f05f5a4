#!/usr/bin/env bash
# transformers: MobileBERT's row of [PAD] gets no gradient, although it is the neighbour of every padded text's last word.
#
# Version   transformers 5.24.0, torch 2.13.0
# Seen      a change of the row changes the output of tokens that are no padding, and autograd says that its gradient is 0.
#           And the vectors of a text depend on whether padding follows it, mask or not.
# Expected  the first is a gradient that is missing: nn.Embedding(padding_idx=...) is for rows that nothing reads. The second
#           is so in the original, too (google-research/mobilebert, modeling.py), where the row is trained.
# Source    transformers/models/mobilebert/modeling_mobilebert.py, MobileBertEmbeddings: padding_idx beside trigram_input.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 transformers==5.24.0
venv/bin/python - <<'PY'
import torch
from transformers import MobileBertConfig, MobileBertModel

torch.manual_seed(0)
model = MobileBertModel(MobileBertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
                                         intra_bottleneck_size=8, embedding_size=4)).double().eval()
words = model.embeddings.word_embeddings.weight
with torch.no_grad():
    words[0] = torch.randn(4)  # as a checkpoint of the original has it: no zeros
ids, mask, weight = torch.tensor([[2, 7, 8, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1, 0, 0]]), torch.randn(4, 16).double()


def loss():
    return (model(ids, attention_mask=mask).last_hidden_state[0, :4] * weight).sum()  # the four words only


loss().backward()
said = float(words.grad[0].abs().sum())
with torch.no_grad():
    before = loss()
    words[0] += 1e-6
    slope = float((loss() - before) / 1e-6)
    padded = model(ids, attention_mask=mask).last_hidden_state[0, :4]
    alone = model(ids[:, :4]).last_hidden_state[0]
print(f"gradient of [PAD] by autograd {said}, slope measured {slope:.3g}; the last word with padding behind it moves by "
      f"{float((padded - alone)[3].norm() / alone[3].norm()):.1%}")
assert said == 0 and abs(slope) > 1e-4
assert not torch.allclose(padded[3], alone[3], rtol=1e-3)
PY
echo "as described: the behaviour is still there"
