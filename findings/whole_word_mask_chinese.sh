#!/usr/bin/env bash
# transformers: whole-word masking takes what stands between blanks for a word, so a Chinese line is hidden whole or not
# at all, and a full stop goes with its word.
#
# Version   transformers 5.24.0, torch 2.13.0
# Seen      200 draws at 50 %: of eight Chinese characters all are hidden or none; "so ." and "u . s . a ." always go
#           together; what is hidden is always [MASK], never another word or itself.
# Expected  BERT's own whole-word masking joins a word with its ## pieces only: each Chinese character, and each full
#           stop, is a word of its own there, and the 80/10/10 of [MASK], random and kept stays.
# Source    transformers/data/data_collator.py, _calc_word_ids_and_prob_mask (a gap in the offsets begins a word) and
#           __post_init__ (mask_replace_prob = 1); google-research/bert, create_pretraining_data.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check torch==2.13.0 transformers==5.24.0
venv/bin/python - <<'PY'
import warnings

import torch
from transformers import BertTokenizer, DataCollatorForLanguageModeling

warnings.filterwarnings("ignore")
TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] 北 京 大 学 so . the u s a cat".split()
tokenizer = BertTokenizer(vocab={token: i for i, token in enumerate(TOKENS)})
collate = DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True, mlm_probability=0.5)


def draws(text):
    """The token strings, and in 200 draws which of them were hidden and what stood there."""
    encoded = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    hidden, inside = [], set()
    for seed in range(200):
        torch.manual_seed(seed)
        batch = collate([dict(encoded)])
        places = batch["labels"][0] != -100
        hidden.append(places.tolist()[1:-1])
        inside |= set(batch["input_ids"][0][places].tolist())
    return tokenizer.convert_ids_to_tokens(encoded["input_ids"])[1:-1], hidden, inside


tokens, hidden, inside = draws("北京大学北京大学")
print(tokens, "hidden in 200 draws:", sorted({sum(places) for places in hidden}), "of 8")
assert len(tokens) == 8
assert {sum(places) for places in hidden} == {0, 8}
assert inside == {TOKENS.index("[MASK]")}
tokens, hidden, _ = draws("the cat . so. U.S.A. the")
print(tokens, "groups that go together:", {tuple(places[3:5]) for places in hidden}, {tuple(places[5:11]) for places in hidden})
assert tokens[3:11] == ["so", ".", "u", ".", "s", ".", "a", "."]
assert {tuple(places[3:5]) for places in hidden} == {(False,) * 2, (True,) * 2}
assert {tuple(places[5:11]) for places in hidden} == {(False,) * 6, (True,) * 6}
PY
echo "as described: the behaviour is still there"
