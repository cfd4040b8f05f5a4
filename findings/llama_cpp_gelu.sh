#!/usr/bin/env bash
# llama.cpp: BERT's GELU is always the tanh form, from a table in half precision. GGUF has no key for the form, so a model of
# the exact one is computed by tanh, too.
#
# Version   llama.cpp as in xllamacpp 2026.10.11549 (for Linux on x86-64), gguf 0.19.0
# Seen      a model in float32 whose vector holds GELU(-1) ... GELU(-4): at -3 it has -0.003637, a tenth less than -0.004050,
#           which is -3·Φ(-3) and what "hidden_act": "gelu" means in transformers. The other three are the tanh form's, too.
# Expected  the form of the model that was converted.
# Source    llama.cpp, src/models/bert.cpp: LLM_FFN_GELU; ggml/src/ggml-cpu/vec.h: ggml_table_gelu_f16
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q --no-compile --disable-pip-version-check gguf==0.19.0 xllamacpp==2026.10.11549
venv/bin/python - <<'PY'
import json
import math

import gguf
import numpy as np
import xllamacpp

TOKENS, SIZE, AT = "[PAD] [UNK] [CLS] [SEP] [MASK] a".split(), 32, (-1.0, -2.0, -3.0, -4.0)


def write(path, tensors):
    """A BERT of one block, as llama.cpp's converter writes it; what is not among the tensors is 0, and a norm's weight 1."""
    writer = gguf.GGUFWriter(path, "bert")
    for add, value in ((writer.add_context_length, 64), (writer.add_embedding_length, SIZE), (writer.add_block_count, 1),
                       (writer.add_feed_forward_length, SIZE), (writer.add_head_count, 1), (writer.add_layer_norm_eps, 1e-12),
                       (writer.add_causal_attention, False), (writer.add_pooling_type, gguf.PoolingType.CLS),
                       (writer.add_tokenizer_model, "bert"), (writer.add_token_type_count, 2)):
        add(value)
    writer.add_token_list([t if t[0] == "[" else "\u2581" + t for t in TOKENS])
    writer.add_token_types([3 if t[0] == "[" else 1 for t in TOKENS])
    for add, token in ((writer.add_pad_token_id, "[PAD]"), (writer.add_unk_token_id, "[UNK]"), (writer.add_bos_token_id, "[CLS]"),
                       (writer.add_eos_token_id, "[SEP]"), (writer.add_sep_token_id, "[SEP]"), (writer.add_mask_token_id, "[MASK]")):
        add(TOKENS.index(token))
    shapes = {"token_embd.weight": (len(TOKENS), SIZE), "position_embd.weight": (64, SIZE), "token_types.weight": (2, SIZE)}
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"):
        shapes |= {f"blk.0.{name}.weight": (SIZE, SIZE), f"blk.0.{name}.bias": (SIZE,)}
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        shapes |= {f"{name}.weight": (SIZE,), f"{name}.bias": (SIZE,)}
    for name, shape in shapes.items():
        writer.add_tensor(name, tensors.get(name, np.full(shape, name.endswith("norm.weight"))).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# The norm before the feed-forward makes (1, -1, 0 …) of everything; unit i adds (GELU(x), -GELU(x)) at places 2i and 2i + 1.
one, up, down = np.zeros(SIZE), np.zeros(SIZE), np.zeros((SIZE, SIZE))
one[:2] = 1, -1
for i, x in enumerate(AT, start=1):
    up[i] = x
    down[2 * i, i], down[2 * i + 1, i] = 1, -1
write("bert.gguf", {"blk.0.attn_output_norm.weight": np.zeros(SIZE), "blk.0.attn_output_norm.bias": one, "blk.0.ffn_up.bias": up,
                    "blk.0.ffn_down.weight": down})
settings = xllamacpp.CommonParams()
settings.model.path, settings.embedding, settings.warmup, settings.verbosity = "bert.gguf", True, False, 0
settings.n_ctx = settings.n_batch = settings.n_ubatch = 64
found = xllamacpp.Server(settings).handle_embeddings({"input": ["a"]})
vector = (json.loads(found) if isinstance(found, str) else found)["data"][0]["embedding"]
for i, x in enumerate(AT, start=1):
    theirs = vector[2 * i] / vector[0]  # the last norm and the length of the vector are gone from it
    exact = x * math.erfc(-x / 2 ** 0.5) / 2
    tanh = x * (1 + math.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x ** 3))) / 2
    print(f"GELU({x:.0f}): llama.cpp {theirs:.6f}, by tanh {tanh:.6f}, exact {exact:.6f}")
    assert abs(theirs - tanh) < 1e-3 * abs(tanh) and abs(theirs - tanh) < abs(theirs - exact)
    assert x > -3 or abs(theirs - exact) > 0.05 * abs(exact)
PY
echo "as described: the behaviour is still there"
