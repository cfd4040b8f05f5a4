"""A tiny RoBERTa as fairseq's checkpoints hold it, written after its source and without any of the package's code."""

import numpy as np

from minibert.text import Tokenizer, Vocabulary
from tests.pretrained import writers
from tests.pretrained.writers import Name, Object, tensor

H, A, F, L, V, P = 6, 2, 10, 2, 11, 9  # hidden size, heads, feed-forward, layers, vocabulary, positions
SETTINGS = {"arch": "roberta_base", "encoder_layers": L, "encoder_embed_dim": H, "encoder_attention_heads": A,
            "activation_fn": "gelu", "encoder_ffn_embed_dim": F, "max_positions": P - 2, "no_token_positional_embeddings": False}
TOKENS = ["<s>", "<pad>", "</s>", "<unk>", *"ACDEFG", "<mask>"]


def arrays(seed=0):
    """The tensors of a model, as fairseq 0.12 calls them."""
    rng = np.random.default_rng(seed)
    shapes = {"embed_tokens.weight": (V, H), "embed_positions.weight": (P, H), "layernorm_embedding.weight": (H,),
              "layernorm_embedding.bias": (H,), "version": (1,)}
    for i in range(L):
        for name in ("self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj"):
            shapes |= {f"layers.{i}.{name}.weight": (H, H), f"layers.{i}.{name}.bias": (H,)}
        shapes |= {f"layers.{i}.fc1.weight": (F, H), f"layers.{i}.fc1.bias": (F,), f"layers.{i}.fc2.weight": (H, F),
                   f"layers.{i}.fc2.bias": (H,)}
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"layers.{i}.{name}.weight": (H,), f"layers.{i}.{name}.bias": (H,)}
    made = {f"encoder.sentence_encoder.{name}": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    head = {"bias": (V,), "dense.weight": (H, H), "dense.bias": (H,), "layer_norm.weight": (H,), "layer_norm.bias": (H,)}
    made |= {f"encoder.lm_head.{name}": rng.normal(size=shape).astype(np.float32) for name, shape in head.items()}
    return made | {"encoder.lm_head.weight": made["encoder.sentence_encoder.embed_tokens.weight"]}


def merged(tensors):
    """As until version 0.9: query, key and value one below the other, and ``emb_layer_norm``."""
    made = {name.replace("layernorm_embedding", "emb_layer_norm"): x for name, x in tensors.items() if "_proj." not in name
            or "out_proj" in name}
    for i in range(L):
        for kind in ("weight", "bias"):
            start = f"encoder.sentence_encoder.layers.{i}.self_attn."
            made[f"{start}in_proj_{kind}"] = np.concatenate([tensors[f"{start}{part}_proj.{kind}"] for part in "qkv"])
    return made


def older(tensors):
    """As the first released models: the encoder was called decoder."""
    return {"decoder" + name.removeprefix("encoder"): x for name, x in merged(tensors).items()}


def write(path, tensors, said, writer=writers.torch_legacy):
    extra = (None,) if writer is writers.torch_legacy else ()
    views = {name: tensor(str(i), x, view=extra) for i, (name, x) in enumerate(tensors.items())}
    content = {**said, "model": views, "optimizer_history": [{"criterion_name": "x", "num_updates": 3}],
               "extra_state": {"epoch": 1}, "last_optimizer_state": {"state": {}, "param_groups": []}}
    writer(path, tensors, content=content)


SAID = {"args": {"args": Object((Name("argparse Namespace"), SETTINGS))},
        "cfg": {"args": None, "cfg": {"common": {"seed": 1}, "model": Object((Name("argparse Namespace"), SETTINGS))}},
        "cfg of dictionaries": {"args": None, "cfg": {"model": {**SETTINGS, "_name": "roberta_base"}}}}


def tokenizer():
    return Tokenizer(Vocabulary(TOKENS, special=("<pad>", "<unk>", "<s>", "</s>", "<mask>")), cut="characters", lower_case=False)
