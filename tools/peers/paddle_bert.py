"""``model_state.pdparams`` of a tiny BERT, by PaddlePaddle, whose layers are called as PaddleNLP calls those of its BERT."""

from __future__ import annotations

import numpy as np

from tools.peers import common


def main() -> None:
    import paddle
    from paddle import nn

    H, V = common.SIZES["hidden_size"], common.SIZES["vocab_size"]

    class Embeddings(nn.Layer):
        def __init__(self):
            super().__init__()
            self.word_embeddings = nn.Embedding(V, H)
            self.position_embeddings = nn.Embedding(common.SIZES["max_position_embeddings"], H)
            self.token_type_embeddings = nn.Embedding(common.SIZES["type_vocab_size"], H)
            self.layer_norm = nn.LayerNorm(H)

    class Pooler(nn.Layer):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(H, H)

    class Bert(nn.Layer):
        def __init__(self):
            super().__init__()
            self.embeddings = Embeddings()
            layer = nn.TransformerEncoderLayer(H, common.SIZES["num_attention_heads"], common.SIZES["intermediate_size"])
            self.encoder = nn.TransformerEncoder(layer, common.SIZES["num_hidden_layers"])
            self.pooler = Pooler()

    class Predictions(nn.Layer):
        def __init__(self, table):
            super().__init__()
            self.transform = nn.Linear(H, H)
            self.layer_norm = nn.LayerNorm(H)
            self.decoder_weight = table
            self.decoder_bias = self.create_parameter([V], is_bias=True)

    class Heads(nn.Layer):
        def __init__(self, table):
            super().__init__()
            self.predictions = Predictions(table)
            self.seq_relationship = nn.Linear(H, 2)

    class Model(nn.Layer):
        def __init__(self):
            super().__init__()
            self.bert = Bert()
            self.cls = Heads(self.bert.embeddings.word_embeddings.weight)

    rng = np.random.default_rng(2)
    model = Model()
    for parameter in model.parameters():
        parameter.set_value(rng.normal(size=parameter.shape).astype(np.float32))
    path = common.folder("paddle", "paddlepaddle")
    state = model.state_dict()
    paddle.save(state, str(path / "model_state.pdparams"))
    paddle.save(state, str(path / "protocol2.pdparams"), protocol=2)
    paddle.save({"weight": model.cls.predictions.transform.weight, "half": paddle.to_tensor([1.5, -2.0], "float16")},
                str(path / "tensors.pdparams"))
    common.finish(path, {name: x.numpy() for name, x in state.items()},
                  "`model_state.pdparams` is the state of a tiny BERT with PaddleNLP's names, `protocol2.pdparams` the same with "
                  "`protocol=2`, `tensors.pdparams` a dictionary that is no state of a model.", ["paddlepaddle", "numpy"],
                  {**common.SIZES, "model_type": "bert"})


if __name__ == "__main__":
    main()
