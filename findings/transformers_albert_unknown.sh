#!/usr/bin/env bash
# transformers: ALBERT's tokenizer takes piece 1 for the unknown one, whatever the model says. In a model that was learned with
# sentencepiece's own defaults <unk> is piece 0 and <s> piece 1: an unknown character becomes <s>, without a word.
#
# Version   transformers 5.24.0, tokenizers 0.23.3, sentencepiece 0.2.3
# Seen      <unk> has the id 0 and unk_token_id is 0, but "ж" becomes 1, of a spiece.model and of a tokenizer.json that says
#           "unk_id": 0; the tokenizers library reads the same tokenizer.json as it is and gives 0.
# Expected  0, as in sentencepiece. The published ALBERTs have <pad> first and <unk> second, so that there it is right.
# Source    transformers/models/albert/tokenization_albert.py: Unigram(..., unk_id=1); the id that is read from the model goes
#           into **kwargs, where nothing looks at it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3 \
    sentencepiece==0.2.3 protobuf
mkdir of_model of_json
for name in of_model of_json; do
    echo '{"model_type": "albert"}' > $name/config.json
    echo '{"tokenizer_class": "AlbertTokenizer"}' > $name/tokenizer_config.json
done
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PY'
import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["the world the world"] * 9), model_prefix="of_model/spiece", vocab_size=20, hard_vocab_limit=False,
    minloglevel=2, control_symbols=["<pad>", "[CLS]", "[SEP]", "[MASK]"])
original = sentencepiece.SentencePieceProcessor(model_file="of_model/spiece.model")
pieces = [(original.id_to_piece(i), original.get_score(i)) for i in range(len(original))]
fast = Tokenizer(models.Unigram(pieces, unk_id=0))
fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
fast.save("of_json/tokenizer.json")
expected = original.encode("the \u0436")
print("sentencepiece", expected, "tokenizers", fast.encode("the \u0436").ids)
assert original.unk_id() == 0 and expected[-1] == 0 and fast.encode("the \u0436").ids[-1] == 0
for folder in ("of_model", "of_json"):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = tokenizer("the \u0436", add_special_tokens=False)["input_ids"]
    print("transformers", folder, found, tokenizer.convert_ids_to_tokens(found))
    assert tokenizer.unk_token_id == 0
    assert found[-1] == 1 and tokenizer.convert_ids_to_tokens(found)[-1] == "<s>"
PY
echo "as described: the behaviour is still there"
