#!/usr/bin/env bash
# sentence-transformers: MultipleNegativesRankingLoss takes a text that stands in a batch twice for a wrong answer to its own
# anchor.
#
# Version   sentence-transformers 6.2.0, torch 2.13.0, transformers 5.24.0
# Seen      two pairs of a model that cannot be better: 2e-09 where they differ, ln 2 = 0.693 where they are equal.
# Expected  what is right for an anchor left out of its wrong answers, or a sampler without repeats by default. The class's
#           documentation recommends BatchSamplers.NO_DUPLICATES; the default is BatchSamplers.BATCH_SAMPLER, which draws them.
# Source    sentence_transformers/sentence_transformer/losses/multiple_negatives_ranking.py, compute_loss_from_embeddings: every
#           other row of the batch is in the softmax.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 transformers==5.24.0 sentence-transformers==6.2.0
TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PY'
import dataclasses
import math

import torch
from sentence_transformers import SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

loss = MultipleNegativesRankingLoss(None)  # the model is not asked: these are its vectors
texts = torch.eye(2, 8, dtype=torch.float64)


def cost(rows):
    vectors = texts[rows]  # anchor and answer have one vector, as of a model that cannot be better
    return float(loss.compute_loss_from_embeddings([vectors, vectors], None))


(sampler,) = (f.default for f in dataclasses.fields(SentenceTransformerTrainingArguments) if f.name == "batch_sampler")
print(f"two pairs cost {cost([0, 1]):.3g}; one pair twice {cost([0, 0]):.6f}; ln 2 is {math.log(2):.6f}; sampler by default: {sampler}")
assert cost([0, 1]) < 1e-8 and abs(cost([0, 0]) - math.log(2)) < 1e-6
assert getattr(sampler, "value", sampler) == "batch_sampler"
PY
echo "as described: the behaviour is still there"
