#!/usr/bin/env bash
# llama.cpp: BERT's second text has the token type of the first, so a cross-encoder scores other pairs than it was trained on.
#
# Version   llama.cpp as in xllamacpp 2026.10.11549 (for Linux on x86-64), gguf 0.19.0
# Seen      a random re-ranker's scores of two documents are the same bits when row 1 of the token types becomes 0; when row 0
#           does they change.
# Expected  type 1 for the document and the [SEP] behind it, as in google-research/bert (run_classifier.py) and as
#           transformers' BertTokenizer makes a pair.
# Source    llama.cpp, src/models/bert.cpp: token types are hardcoded to zero ("Sentence A")
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check gguf==0.19.0 xllamacpp==2026.10.11549
venv/bin/python - <<'PY'
import json

import gguf
import numpy as np
import xllamacpp

TOKENS, SIZE = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c".split(), 32


def scores(types):
    """What a re-ranker of one block, always the same but for its two token types, makes of two documents."""
    writer = gguf.GGUFWriter("bert.gguf", "bert")
    for add, value in ((writer.add_context_length, 64), (writer.add_embedding_length, SIZE), (writer.add_block_count, 1),
                       (writer.add_feed_forward_length, SIZE), (writer.add_head_count, 1), (writer.add_layer_norm_eps, 1e-12),
                       (writer.add_causal_attention, False), (writer.add_pooling_type, gguf.PoolingType.RANK),
                       (writer.add_tokenizer_model, "bert"), (writer.add_token_type_count, 2)):
        add(value)
    writer.add_token_list([t if t[0] == "[" else "\u2581" + t for t in TOKENS])
    writer.add_token_types([3 if t[0] == "[" else 1 for t in TOKENS])
    for add, token in ((writer.add_pad_token_id, "[PAD]"), (writer.add_unk_token_id, "[UNK]"), (writer.add_bos_token_id, "[CLS]"),
                       (writer.add_eos_token_id, "[SEP]"), (writer.add_sep_token_id, "[SEP]"), (writer.add_mask_token_id, "[MASK]")):
        add(TOKENS.index(token))
    rng = np.random.default_rng(0)
    tensors = {"token_types.weight": types, "cls.output.weight": rng.normal(size=(1, SIZE)), "cls.output.bias": np.zeros(1)}
    for name, rows in (("token_embd", len(TOKENS)), ("position_embd", 64)):
        tensors[f"{name}.weight"] = rng.normal(size=(rows, SIZE))
    for name in ("blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v", "blk.0.attn_output", "blk.0.ffn_up", "blk.0.ffn_down", "cls"):
        tensors |= {f"{name}.weight": rng.normal(size=(SIZE, SIZE)) / SIZE ** 0.5, f"{name}.bias": np.zeros(SIZE)}
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        tensors |= {f"{name}.weight": np.ones(SIZE), f"{name}.bias": np.zeros(SIZE)}
    for name, array in tensors.items():
        writer.add_tensor(name, array.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.embedding, settings.warmup, settings.verbosity = "bert.gguf", True, False, 0
    settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 64
    settings.cpuparams.n_threads = 1
    found = xllamacpp.Server(settings).handle_rerank({"query": "a b", "documents": ["c a", "b"]})
    results = (json.loads(found) if isinstance(found, str) else found)["results"]
    return {result["index"]: result["relevance_score"] for result in results}


types = np.random.default_rng(1).normal(size=(2, SIZE))
both, without_second, without_first = scores(types), scores(types * [[1], [0]]), scores(types * [[0], [1]])
print(f"scores {both}\nwithout the second type {without_second}\nwithout the first type {without_first}")
assert set(both) == {0, 1}
assert without_second == both
assert all(abs(without_first[i] - both[i]) > 1e-3 for i in both)
PY
echo "as described: the behaviour is still there"
