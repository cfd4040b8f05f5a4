#!/usr/bin/env bash
# ByteLevel with add_prefix_space: the blank that is put before a text is taken for one of the text when places are trimmed, so that
# a token behind an added token has lost its first character.
#
# Version   tokenizers 0.23.3
# Seen      in "ab<mask>ab" the last token, Ġab, stands from 9 to 10: that is "b"; in "a<mask>a" from 8 to 8: nothing.
# Expected  8 to 10, and 7 to 8.
# Source    tokenizers/src/pre_tokenizers/byte_level.rs, process_offsets: the blank is forgiven for the first token alone (and for
#           one that begins at 0), but every part of a text between added tokens is given one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check tokenizers==0.23.3
venv/bin/python - <<'PY'
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

vocab = {token: number for number, token in enumerate(["<s>", "</s>", "Ġ", "a", "b", "Ġa", "Ġab"])}
tokenizer = Tokenizer(models.BPE(vocab, [("Ġ", "a"), ("Ġa", "b")]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=True)
tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
for text, expected in ("ab<mask>ab", (9, 10)), ("a<mask>a", (8, 8)):
    encoding = tokenizer.encode(text)
    token, (start, end) = encoding.tokens[-2], encoding.offsets[-2]
    print(f"{text}: {token} stands from {start} to {end}: {text[start:end]!r}")
    assert (start, end) == expected
PY
echo "as described: the behaviour is still there"
