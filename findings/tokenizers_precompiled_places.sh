#!/usr/bin/env bash
# tokenizers: where the normalisation of a SentencePiece model takes away the first character of a text, all places in that text
# are too small by it. A control character there moves every span that is cut out of the text.
#
# Version   tokenizers 0.23.3 (model by sentencepiece 0.2.3)
# Seen      "\x01the cat": the token for "the" is at (0, 3), "cat" at (3, 7); that is "\x01th" and "e ca".
# Expected  (1, 4) and (4, 8) or (5, 8), as where the character stands further back: "the\x01 cat" has (0, 3) and (4, 8).
# Source    tokenizers/src/normalizers/precompiled.rs, replace(): what goes is counted on the character before it; where there
#           is none it is not counted, and normalized.transform(…, 0) takes it for the first of those that stay.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check tokenizers==0.23.3 sentencepiece==0.2.3 protobuf
venv/bin/python - <<'PY'
import io

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

out = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["the cat the cat"] * 9), model_writer=out, vocab_size=12,
                                         hard_vocab_limit=False, minloglevel=2)
model = sentencepiece_model_pb2.ModelProto.FromString(out.getvalue())
tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("\u2581the", -1.0), ("\u2581cat", -1.0)], 0, False))
tokenizer.normalizer = normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
first, behind = tokenizer.encode("\x01the cat"), tokenizer.encode("the\x01 cat")
print(first.tokens, first.offsets, behind.tokens, behind.offsets)
assert first.tokens == behind.tokens == ["\u2581the", "\u2581cat"]
assert first.offsets == [(0, 3), (3, 7)]
assert behind.offsets == [(0, 3), (4, 8)]
PY
echo "as described: the behaviour is still there"
