"""The whole pre-training model against the transformers library: the same weights and batch, every output, every gradient."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert.model import pretraining  # noqa: E402
from tests.model.examples import (  # noqa: E402
    all_labels,
    distance,
    loss_and_gradients,
    random_inputs,
    random_parameters,
    small_config,
)

TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
SHAPES = {
    "small": (small_config(), (9, 5, 7, 9)),
    "one example, one layer": (small_config(num_hidden_layers=1, num_attention_heads=3), (6,)),
    "tanh gelu, one head": (small_config(hidden_act="gelu_new", num_attention_heads=1), (4, 16, 2)),
    "tiny": (small_config(vocab_size=500, hidden_size=128, num_hidden_layers=2, intermediate_size=512,
                          max_position_embeddings=64), (33, 64, 20, 64)),
}


def reference(kind, config, parameters, dtype, rename=lambda name: name, **more):
    """A model of the transformers library with our weights, and its parameters by our names. ``more``: of its configuration."""
    values = {key: value for key, value in config.to_dict().items() if key not in ("architectures", "model_type", "norm_first")}
    values |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, **more}
    model = kind(kind.config_class(**values, attn_implementation="eager"))
    model = model.to(torch.float64 if dtype is np.float64 else torch.float32).eval()
    theirs = dict(model.named_parameters())
    ours = dict(parameters.items())
    theirs = {name: theirs[rename(name)] for name in ours if rename(name) in theirs}
    assert len(theirs) == len(dict(model.named_parameters())), "a parameter of the reference has no counterpart"
    with torch.no_grad():
        for name, tensor in theirs.items():
            assert tuple(tensor.shape) == ours[name].shape, name
            tensor.copy_(torch.tensor(ours[name]))
    return model, theirs


def check_gradients(g, theirs, tolerance):
    ours = dict(g.items())
    for name, tensor in theirs.items():
        if name.endswith("self.key.bias"):  # zero in exact arithmetic: what is left is rounding, on both sides
            assert np.linalg.norm(ours[name]) <= tolerance * np.linalg.norm(ours[name.replace("key", "query")]), name
        else:
            assert distance(ours[name], tensor.grad.numpy()) <= tolerance, name


@DTYPES
@pytest.mark.parametrize("shape", SHAPES)
def test_pretraining_equals_transformers(shape, dtype):
    config, lengths = SHAPES[shape]
    inputs = random_inputs(config, lengths)
    parameters = random_parameters(config, dtype=dtype)
    if shape == "tiny":
        parameters = pretraining.initial_parameters(config.replace(initializer_range=0.1), dtype=dtype)  # softer than 0.3·N(0, 1)
    output, _, g = loss_and_gradients(inputs, parameters, config)

    model, theirs = reference(transformers.BertForPreTraining, config, parameters, dtype)
    expected = model(input_ids=torch.tensor(inputs.ids), token_type_ids=torch.tensor(inputs.token_type_ids),
                     attention_mask=torch.tensor(inputs.attention_mask), labels=torch.tensor(all_labels(inputs)),
                     next_sentence_label=torch.tensor(inputs.next_labels), output_hidden_states=True, output_attentions=True)
    expected.loss.backward()

    tolerance = TOLERANCE[dtype]
    assert float(output.loss) == pytest.approx(expected.loss.item(), rel=tolerance)
    assert output.loss.dtype == dtype
    logits = expected.prediction_logits.detach().numpy().reshape(-1, config.vocab_size)[inputs.positions]
    assert distance(output.logits, logits) <= tolerance
    assert distance(output.next_logits, expected.seq_relationship_logits.detach().numpy()) <= tolerance
    pooled = model.bert(input_ids=torch.tensor(inputs.ids), token_type_ids=torch.tensor(inputs.token_type_ids),
                        attention_mask=torch.tensor(inputs.attention_mask)).pooler_output.detach().numpy()
    assert distance(output.bert.pooled, pooled) <= tolerance
    assert len(output.bert.hidden_states) == len(expected.hidden_states) == config.num_hidden_layers + 1
    for ours, tensor in zip(output.bert.hidden_states, expected.hidden_states):
        assert distance(ours, tensor.detach().numpy()) <= tolerance
    assert len(output.bert.attentions) == len(expected.attentions) == config.num_hidden_layers
    for ours, tensor in zip(output.bert.attentions, expected.attentions):
        assert distance(ours, tensor.detach().numpy()) <= tolerance
    check_gradients(g, theirs, tolerance)


@DTYPES
def test_logits_of_all_positions_equal_the_gathered_ones(dtype):
    config = small_config()
    inputs, parameters = random_inputs(config), random_parameters(config, dtype=dtype)
    some, _, g_some = loss_and_gradients(inputs, parameters, config)
    everywhere = inputs._replace(positions=None, labels=all_labels(inputs))
    full, _, g_full = loss_and_gradients(everywhere, parameters, config)
    assert full.logits.shape == (*inputs.ids.shape, config.vocab_size)
    assert float(full.loss) == pytest.approx(float(some.loss), rel=TOLERANCE[dtype])
    assert distance(g_some.flat, g_full.flat) <= TOLERANCE[dtype]


@DTYPES
def test_pre_ln_equals_transformers(dtype):
    kind = transformers.RobertaPreLayerNormModel
    config = small_config(norm_first=True, pad_token_id=15)  # a row of the position table that no token reads
    inputs = random_inputs(config)
    inputs = inputs._replace(ids=np.where((inputs.ids == 15) & (inputs.attention_mask == 1), 16, inputs.ids))
    parameters = random_parameters(config, dtype=dtype)

    model, theirs = reference(kind, config, parameters, dtype, lambda name: name.removeprefix("bert."))
    positions = torch.arange(inputs.ids.shape[1]).expand(*inputs.ids.shape)
    expected = model(input_ids=torch.tensor(inputs.ids), token_type_ids=torch.tensor(inputs.token_type_ids),
                     attention_mask=torch.tensor(inputs.attention_mask), position_ids=positions, output_attentions=True)

    output, cache = pretraining.forward(inputs, parameters.tree, config)
    body, tolerance = output.bert, TOLERANCE[dtype]
    assert distance(body.last_hidden_state, expected.last_hidden_state.detach().numpy()) <= tolerance
    assert distance(body.pooled, expected.pooler_output.detach().numpy()) <= tolerance
    for ours, tensor in zip(body.attentions, expected.attentions):
        assert distance(ours, tensor.detach().numpy()) <= tolerance

    rng = np.random.default_rng(1)
    d_last = (rng.standard_normal(body.last_hidden_state.shape) * inputs.attention_mask[..., None]).astype(dtype)
    d_pooled = rng.standard_normal(body.pooled.shape).astype(dtype)
    g = parameters.zeros_like()
    upstream = pretraining.Output(bert=pretraining.bert.Output(last_hidden_state=d_last, pooled=d_pooled))
    pretraining.backward(upstream, cache, parameters.tree, g.tree)
    torch.autograd.backward([expected.last_hidden_state, expected.pooler_output], [torch.tensor(d_last), torch.tensor(d_pooled)])
    check_gradients(g, theirs, tolerance)
