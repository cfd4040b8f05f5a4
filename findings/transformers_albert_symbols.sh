#!/usr/bin/env bash
# transformers reads an ALBERT's spiece.model otherwise than the model was trained: its user-defined symbols, which are ( ) " - . –
# £ €, become added tokens, so that what stands behind one begins a word: "(world)" has the pieces of "( world )", "u.s." of
# "u . s .". With the tokenizer.json of the same model, in whose vocabulary the symbols are pieces like others, it does not.
#
# Version   transformers 5.24.0, tokenizers 0.23.3, sentencepiece 0.2.3
# Seen      AutoTokenizer with a spiece.model alone: "(world)" is ( ▁world ); with sentencepiece ▁ ( world ).
# Expected  the pieces of sentencepiece.
# Source    transformers/convert_slow_tokenizer.py, SentencePieceExtractor.extract(): pieces of type 4 go into
#           additional_special_tokens, which are cut out of a text before anything else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3 \
    sentencepiece==0.2.3 protobuf
mkdir albert
echo '{"model_type": "albert"}' > albert/config.json
echo '{"tokenizer_class": "AlbertTokenizer"}' > albert/tokenizer_config.json
HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import sentencepiece
from transformers import AutoTokenizer

sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["the world (world) the u.s. world"] * 9), model_prefix="albert/spiece", vocab_size=40,
    hard_vocab_limit=False, minloglevel=2, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
    control_symbols=["[CLS]", "[SEP]", "[MASK]"], user_defined_symbols=list('()"-.–£€'))
theirs = AutoTokenizer.from_pretrained("albert").tokenize("(world)")
original = sentencepiece.SentencePieceProcessor(model_file="albert/spiece.model").encode("(world)", return_type=str)
print("transformers", theirs, "sentencepiece", original)
assert theirs[:2] == ["(", "\u2581world"] and original[:2] == ["\u2581", "("]
assert "".join(original) == "\u2581(world)" and "".join(theirs) == "(\u2581world)"
PY
echo "as described: the behaviour is still there"
