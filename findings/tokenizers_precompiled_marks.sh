#!/usr/bin/env bash
# tokenizers: in the normalisation of a SentencePiece model a mark is lost that stands on a character with a rule of its own, as
# on a full-width letter. sentencepiece, with the same rules, keeps it, and that is what the models have learned with.
#
# Version   tokenizers 0.23.3, sentencepiece 0.2.3
# Seen      "Ａ" and U+0301 become "A".
# Expected  "Á", as in sentencepiece (the rule with the longest source goes, then the next character).
# Source    tokenizers/src/normalizers/precompiled.rs looks up a whole grapheme cluster of less than six bytes; transform() in
#           spm_precompiled takes the first, that is the shortest rule that begins there, and its target stands for all of it.
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
from tokenizers import normalizers

out = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["the cat the cat"] * 9), model_writer=out, vocab_size=12,
                                         hard_vocab_limit=False, minloglevel=2)
model = sentencepiece_model_pb2.ModelProto.FromString(out.getvalue())
rules = normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
processor = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
text = "\uff21\u0301"
print(repr(text), "tokenizers", repr(rules.normalize_str(text)), "sentencepiece", repr(processor.normalize(text)))
assert rules.normalize_str(text) == "A"
assert processor.normalize(text) in ("\u2581\u00c1", "\u2581A\u0301")
PY
echo "as described: the behaviour is still there"
