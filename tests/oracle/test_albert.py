"""Shared layers and narrow embeddings, by the keys of a configuration, against transformers' ALBERT."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert.config import BertConfig  # noqa: E402
from minibert.model import bert  # noqa: E402
from minibert.parameters import Layout, Parameters  # noqa: E402

BLOCK = {  # ours -> theirs, within a layer
    "attention.self.query": "attention.query", "attention.self.key": "attention.key", "attention.self.value": "attention.value",
    "attention.output.dense": "attention.dense", "attention.output.LayerNorm": "attention.LayerNorm",
    "intermediate.dense": "ffn", "output.dense": "ffn_output", "output.LayerNorm": "full_layer_layer_norm",
}


def theirs(name: str, inner: int) -> str:
    """What transformers calls a tensor of ours."""
    name = name.removeprefix("bert.").replace("embeddings.projection", "encoder.embedding_hidden_mapping_in")
    name = name.replace("pooler.dense", "pooler")
    if not name.startswith("encoder.layer."):
        return name
    number, part = name.removeprefix("encoder.layer.").split(".", 1)
    part, kind = part.rsplit(".", 1)
    group, place = divmod(int(number), inner)
    return f"encoder.albert_layer_groups.{group}.albert_layers.{place}.{BLOCK[part]}.{kind}"


@pytest.mark.parametrize(("layers", "groups", "inner", "layer_map"), [
    (4, 1, 1, (0, 0, 0, 0)),
    (4, 2, 1, (0, 0, 1, 1)),
    (4, 2, 2, (0, 1, 0, 1, 2, 3, 2, 3)),  # each of transformers' layers is two blocks then
    (4, 3, 1, (0, 0, 1, 2)),  # groups that do not divide the layers, as transformers rounds them
])
def test_albert_is_a_map_of_layers_and_a_projection(layers, groups, inner, layer_map):
    sizes = {"vocab_size": 50, "embedding_size": 10, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40,
             "max_position_embeddings": 20, "hidden_act": "gelu_new", "hidden_dropout_prob": 0.0,
             "attention_probs_dropout_prob": 0.0}
    config = BertConfig(num_hidden_layers=len(layer_map), layer_map=layer_map, **sizes)
    reference = transformers.AlbertModel(transformers.AlbertConfig(
        num_hidden_layers=layers, num_hidden_groups=groups, inner_group_num=inner, attn_implementation="eager", **sizes)).double()
    rng = np.random.default_rng(0)
    parameters = Parameters.zeros(Layout(bert.shapes(config)), dtype=np.float64)
    wanted = dict(reference.named_parameters())
    assert {theirs(name, inner) for name, _ in parameters.items()} == set(wanted)
    for name, view in parameters.items():
        view[...] = 0.15 * rng.standard_normal(view.shape) + name.endswith("LayerNorm.weight")
        with torch.no_grad():
            wanted[theirs(name, inner)].copy_(torch.tensor(view))

    ids, types = rng.integers(1, 50, (3, 9)), rng.integers(0, 2, (3, 9))  # PyTorch gives the row of padding no gradient
    mask = (np.arange(9) < np.array([[9], [5], [7]])).astype(np.int64)
    out, cache = bert.forward(ids, types, mask, parameters["bert"], config)
    expected = reference(input_ids=torch.tensor(ids), token_type_ids=torch.tensor(types), attention_mask=torch.tensor(mask))
    pairs = [(out.last_hidden_state, expected.last_hidden_state), (out.pooled, expected.pooler_output)]
    upstream = [rng.standard_normal(ours.shape) for ours, _ in pairs]
    upstream[0] *= mask[:, :, None]
    loss = sum((ours * d).sum() for (ours, _), d in zip(pairs, upstream))
    their_loss = sum((output * torch.tensor(d)).sum() for (_, output), d in zip(pairs, upstream))
    assert loss == pytest.approx(their_loss.item(), rel=1e-12)
    their_loss.backward()
    g = parameters.zeros_like()
    bert.backward(bert.Output(*upstream), cache, parameters["bert"], g["bert"])
    gradients = {name: wanted[theirs(name, inner)].grad.numpy() for name, _ in g.items()}
    for name, view in g.items():
        size = gradients[name.replace("self.key.bias", "self.query.bias")]  # the key's own is zero but for rounding
        assert np.linalg.norm(view - gradients[name]) <= 1e-12 * np.linalg.norm(size), name
