#!/usr/bin/env bash
# transformers: the Trainer adds the mean losses of accumulated micro-batches for BERT's heads, so the step grows with
# their number.
#
# Version   transformers 5.24.0, torch 2.13.0, accelerate 1.15.0
# Seen      one step of SGD on five equal sentences, read one by one (1×5), moves the weights five times as far as read
#           at once (5×1), for sentence classes, token classes and masked words; the reported train_loss is five times
#           as large too.
# Expected  the same step. Adam hides it, clipping and SGD do not.
# Source    transformers/trainer.py: the loss is divided by the number of accumulation steps only where the model is
#           believed to normalise by num_items_in_batch; forward of BERT's heads takes **kwargs, so it counts as one,
#           but ignores the number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check \
    torch==2.13.0 transformers==5.24.0 accelerate==1.15.0
venv/bin/python - <<'PY'
import torch
from transformers import (BertConfig, BertForMaskedLM, BertForSequenceClassification, BertForTokenClassification, Trainer,
                          TrainingArguments, logging)

logging.set_verbosity_error()
CONFIG = BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def step(kind, labels, at_once, times):
    """How far one step of SGD goes, and the loss that is reported."""
    torch.manual_seed(0)
    model = kind(CONFIG)
    before = [p.detach().clone() for p in model.parameters()]
    five = [{"input_ids": [2, 7, 8, 3], "attention_mask": [1, 1, 1, 1], "labels": labels} for _ in range(5)]
    trainer = Trainer(model, TrainingArguments("out", per_device_train_batch_size=at_once, gradient_accumulation_steps=times,
                                               max_steps=1, optim="sgd", learning_rate=0.1, lr_scheduler_type="constant",
                                               max_grad_norm=0.0, use_cpu=True, report_to=[], save_strategy="no",
                                               disable_tqdm=True), train_dataset=five)
    loss = trainer.train().training_loss
    return sum(float(((p.detach() - b) ** 2).sum()) for p, b in zip(model.parameters(), before)) ** 0.5, loss


for kind, labels in ((BertForSequenceClassification, 1), (BertForTokenClassification, [-100, 1, 0, -100]),
                     (BertForMaskedLM, [-100, 5, -100, -100])):
    (length, loss), (length_apart, loss_apart) = step(kind, labels, 5, 1), step(kind, labels, 1, 5)
    print(f"{kind.__name__}: step 5x1 {length:.4f}, 1x5 {length_apart:.4f}; loss {loss:.4f}, {loss_apart:.4f}")
    assert abs(length_apart / length - 5) < 0.01
    assert abs(loss_apart / loss - 5) < 0.01
PY
echo "as described: the behaviour is still there"
