#!/usr/bin/env bash
# llama.cpp: BERT's tokenizer keeps only the first consonant of a Hangul syllable, so every Korean word loses its
# vowels.
#
# Version   llama.cpp v0.5.0 as in node-llama-cpp 3.22.1 (npm; for Linux on x86-64), gguf 0.19.0
# Seen      with the eight letters of 한국어 in the vocabulary: ᄒ ##ᄀ ##ᄋ.
# Expected  ᄒ ##ᅡ ##ᆫ ##ᄀ ##ᅮ ##ᆨ ##ᄋ ##ᅥ, as in BERT, where NFD takes a syllable apart into two or three
#           letters and none is an accent.
# Source    llama.cpp, src/unicode.cpp: unicode_cpts_normalize_nfd maps each code point to one code point.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check gguf==0.19.0
venv/bin/python - <<'PY'
import gguf

TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] cafe ᄒ ##ᅡ ##ᆫ ##ᄀ ##ᅮ ##ᆨ ##ᄋ ##ᅥ".split()
writer = gguf.GGUFWriter("bert.gguf", "bert")  # a vocabulary without a model, pieces as llama.cpp's converter writes them
for add, value in ((writer.add_context_length, 512), (writer.add_embedding_length, 32), (writer.add_block_count, 1),
                   (writer.add_feed_forward_length, 64), (writer.add_head_count, 1), (writer.add_layer_norm_eps, 1e-12),
                   (writer.add_causal_attention, False), (writer.add_tokenizer_model, "bert"), (writer.add_token_type_count, 2)):
    add(value)
writer.add_token_list([t if t[0] == "[" else t[2:] if t[:2] == "##" else "\u2581" + t for t in TOKENS])
writer.add_token_types([3 if t[0] == "[" else 1 for t in TOKENS])
for add, token in ((writer.add_pad_token_id, "[PAD]"), (writer.add_unk_token_id, "[UNK]"), (writer.add_bos_token_id, "[CLS]"),
                   (writer.add_eos_token_id, "[SEP]"), (writer.add_sep_token_id, "[SEP]"), (writer.add_mask_token_id, "[MASK]")):
    add(TOKENS.index(token))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
PY
npm install --silent --no-audit --no-fund --ignore-scripts --omit=optional node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1
cat > run.mjs <<'JS'
import assert from "assert";
import { getLlama } from "node-llama-cpp";
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, progressLogs: false, logLevel: "disabled" });
const model = await llama.loadModel({ modelPath: "bert.gguf", vocabOnly: true });
const tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] cafe ᄒ ##ᅡ ##ᆫ ##ᄀ ##ᅮ ##ᆨ ##ᄋ ##ᅥ".split(" ");
const cut = text => Array.from(model.tokenize(text)).map(id => tokens[id]).filter(token => token[0] !== "[" || token === "[UNK]");
for (const text of ["café", "한국어"]) console.log(text, cut(text).join(" "));
assert.deepStrictEqual(cut("café"), ["cafe"]);
assert.deepStrictEqual(cut("한국어"), ["ᄒ", "##ᄀ", "##ᄋ"]);
process.exit(0);
JS
node run.mjs
echo "as described: the behaviour is still there"
