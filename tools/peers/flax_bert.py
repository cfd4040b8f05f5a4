"""``flax_model.msgpack`` of a tiny BERT, by transformers 4 and Flax; and a tree with an array in chunks."""

from __future__ import annotations

import numpy as np

from tools.peers import common


def main() -> None:
    import jax
    from flax import serialization
    from flax.traverse_util import flatten_dict
    from transformers import BertConfig, FlaxBertForPreTraining

    model = FlaxBertForPreTraining(BertConfig(**common.SIZES), seed=1)
    rng = np.random.default_rng(1)
    model.params = jax.tree.map(lambda x: np.asarray(rng.normal(size=x.shape), np.float32), dict(model.params))
    path = common.folder("flax", "flax")
    model.save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)
    values = {"/".join(name): np.asarray(x) for name, x in flatten_dict(model.params).items()}

    serialization.MAX_CHUNK_SIZE = 40  # bytes, instead of a gigabyte
    tree = {"whole": np.arange(6, dtype=np.float32), "parts": rng.normal(size=(5, 7)).astype(np.float32),
            "half": {"kernel": jax.numpy.asarray(rng.normal(size=(3, 2)), jax.numpy.bfloat16)}, "one": np.float32(2.5)}
    (path / "chunks.msgpack").write_bytes(serialization.msgpack_serialize(tree))
    common.finish(path, values | {"parts": tree["parts"], "half": np.asarray(tree["half"]["kernel"], np.float32)},
                  "`flax_model.msgpack` is a tiny FlaxBertForPreTraining; `chunks.msgpack` has an array in chunks of 40 bytes.",
                  ["flax", "jax", "msgpack", "transformers"])


if __name__ == "__main__":
    main()
