#!/usr/bin/env bash
# tokenizers: one in nine of the pieces that the WordPiece trainer learns can never come out of the tokenizer that it
# trained.
#
# Version   tokenizers 0.23.3
# Seen      2,000 pieces learned from Python's own language reference, the same text cut with them: 228 pieces never
#           occur (the language reference of Python 3.11).
# Expected  few: a piece is learned because it is frequent. It merges pairs as BPE does, bottom up; WordPiece cuts
#           greedily, longest first, and passes by the halves that merges left behind.
# Source    tokenizers/src/models/wordpiece/trainer.rs: WordPieceTrainer is a BpeTrainer with the prefix ##.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check tokenizers==0.23.3
venv/bin/python - <<'PY'
from pydoc_data.topics import topics

from tokenizers import BertWordPieceTokenizer

lines = [line for text in topics.values() for line in text.splitlines() if line.strip()]
tokenizer = BertWordPieceTokenizer(lowercase=True)
tokenizer.train_from_iterator(lines, vocab_size=2000, show_progress=False)
used = {number for line in lines for number in tokenizer.encode(line, add_special_tokens=False).ids}
never = tokenizer.get_vocab_size() - 5 - len(used)  # five special tokens
print(f"{tokenizer.get_vocab_size()} pieces learned, {never} of them never used on the text that they were learned from")
assert tokenizer.get_vocab_size() == 2000
assert never > 200
PY
echo "as described: the behaviour is still there"
