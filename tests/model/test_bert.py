"""The whole model: what it promises to whoever trains it, opens it or takes parts of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from minibert.layers import add_norm, cross_entropy
from minibert.layers.dropout import Key
from minibert.model import bert, embeddings, encoder, pooler, pretraining
from minibert.model.blocks import post_ln, pre_ln
from minibert.model.heads import mlm, nsp
from minibert.model.pretraining import Inputs, Output
from minibert.model.recompute import recompute
from minibert.parameters import NOTHING
from tests.model.examples import arrays, distance, loss_and_gradients, random_inputs, random_parameters, small_config

KEY = Key(seed=6, step=2, micro_batch=1)
NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-LN", "pre-LN"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def floats(tree):
    return [a for a in arrays(tree) if a.dtype.kind == "f"]


def equal(got, expected):
    for a, b in zip(arrays(got), arrays(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def cut(inputs: Inputs, examples, trim: bool = False) -> Inputs:
    """The given examples of a batch as a batch; ``trim`` takes away the padding that all of them have."""
    tokens = inputs.ids.shape[1]
    kept = int(inputs.attention_mask[examples].sum(1).max()) if trim else tokens
    place = {int(b): new for new, b in enumerate(examples)}
    mine = [m for m, position in enumerate(inputs.positions) if position // tokens in place]
    positions = [place[inputs.positions[m] // tokens] * kept + inputs.positions[m] % tokens for m in mine]
    return Inputs(inputs.ids[examples, :kept], inputs.token_type_ids[examples, :kept], inputs.attention_mask[examples, :kept],
                  np.array(positions, int), inputs.labels[mine], inputs.next_labels[examples])


@NORMS
@DTYPES
def test_dtype_is_kept_through_the_whole_model(norm_first, dtype):
    config = small_config(norm_first=norm_first)
    inputs, parameters = random_inputs(config), random_parameters(config, dtype=dtype)
    head_mask = np.ones((3, 2), dtype)
    output, cache = pretraining.forward(inputs, parameters.tree, config, key=KEY, head_mask=head_mask)
    g = parameters.zeros_like()
    d = pretraining.backward(Output(loss=1.0), cache, parameters.tree, g.tree)
    assert output.loss.dtype == output.mlm_loss.dtype == output.nsp_loss.dtype == dtype
    for tree in (output, cache, d):
        assert {a.dtype for a in floats(tree)} == {np.dtype(dtype)}
    assert g.flat.dtype == dtype
    composites = {
        embeddings: cache.bert.embeddings, encoder: cache.bert.encoder, pooler: cache.bert.pooler, mlm: cache.mlm,
        nsp: cache.nsp, (pre_ln if norm_first else post_ln): cache.bert.encoder.blocks[0],
    }
    for module, part in composites.items():
        assert {a.dtype for a in floats(part)} == {np.dtype(dtype)}, module.__name__


@NORMS
def test_backward_twice_gives_the_same_and_leaves_the_cache(norm_first):
    config = small_config(norm_first=norm_first)
    inputs, parameters = random_inputs(config), random_parameters(config)
    rng = np.random.default_rng(0)
    given = {"head_mask": rng.random((3, 2)), "hidden": {1: rng.random((4, 9, 12))}, "attentions": {2: rng.random((4, 2, 9, 9))}}
    output, cache = pretraining.forward(inputs, parameters.tree, config, key=KEY, **given)
    before = [a.copy() for a in arrays(cache)]
    upstream = Output(loss=1.0, logits=rng.random(output.logits.shape), next_logits=rng.random(output.next_logits.shape),
                      bert=bert.Output(hidden_states=[rng.random(h.shape) for h in output.bert.hidden_states],
                                       attentions=[rng.random(a.shape) for a in output.bert.attentions],
                                       pooled=rng.random(output.bert.pooled.shape),
                                       last_hidden_state=rng.random(output.bert.last_hidden_state.shape)))
    upstream_before = [a.copy() for a in arrays(upstream)]
    runs = []
    for _ in range(2):
        g = parameters.zeros_like()
        d = pretraining.backward(upstream, cache, parameters.tree, g.tree)
        runs.append([a.copy() for a in (g.flat, *arrays(d))])
    equal(*runs)
    for a, b in zip(before, arrays(cache), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(upstream_before, arrays(upstream), strict=True):
        np.testing.assert_array_equal(a, b)


@NORMS
def test_inputs_and_parameters_are_left_as_they_were(norm_first):
    config = small_config(norm_first=norm_first)
    inputs, parameters = random_inputs(config), random_parameters(config)
    rng = np.random.default_rng(0)
    given = {"head_mask": rng.random((3, 2)), "hidden": {1: rng.random((4, 9, 12))}, "attentions": {2: rng.random((4, 2, 9, 9))}}
    for a in (*arrays(inputs), *arrays(given), parameters.flat, *arrays(parameters.tree)):
        a.flags.writeable = False
    _, cache = pretraining.forward(inputs, parameters.tree, config, key=KEY, **given)
    pretraining.backward(Output(loss=1.0), cache, parameters.tree, parameters.zeros_like().tree)


@NORMS
@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("trim", [False, True], ids=["padded alike", "cut to their own longest"])
def test_micro_batches_sum_to_the_batch(norm_first, parts, trim):
    config = small_config(norm_first=norm_first)
    inputs = random_inputs(config, lengths=(9, 5, 7, 12, 3, 12, 8, 6), masks=2)
    inputs = inputs._replace(labels=np.where(np.arange(16) % 5 == 4, cross_entropy.IGNORE, inputs.labels),
                             next_labels=np.where(np.arange(8) == 3, cross_entropy.IGNORE, inputs.next_labels))
    parameters = random_parameters(config)
    whole, _, g_whole = loss_and_gradients(inputs, parameters, config)
    counts = (int((inputs.labels != cross_entropy.IGNORE).sum()), int((inputs.next_labels != cross_entropy.IGNORE).sum()))
    loss, g = 0.0, parameters.zeros_like()
    for examples in np.array_split(np.argsort(inputs.attention_mask.sum(1), kind="stable"), parts):
        output, _, part = loss_and_gradients(cut(inputs, examples, trim), parameters, config, counts=counts)
        loss += output.loss
        g.flat += part.flat
    assert loss == pytest.approx(whole.loss, rel=1e-12)
    for (name, view), (_, expected) in zip(g.items(), g_whole.items(), strict=True):
        if name.endswith("key.bias"):  # zero but for rounding
            assert np.abs(view).max() < 1e-12
        else:
            assert distance(view, expected) <= 1e-12, name


@NORMS
def test_real_tokens_do_not_depend_on_padding(norm_first):
    config = small_config(norm_first=norm_first)
    parameters = random_parameters(config)
    ids, types = np.array([[2, 7, 7, 30, 3]]), np.array([[0, 0, 0, 1, 1]])
    alone, _ = bert.forward(ids, types, None, parameters["bert"], config)
    pad = np.zeros((1, 6), int)
    mask = np.concatenate([np.ones_like(ids), pad], 1)
    padded, _ = bert.forward(np.concatenate([ids, pad + 9], 1), np.concatenate([types, pad], 1), mask, parameters["bert"], config)
    for a, b in zip(alone.hidden_states, padded.hidden_states, strict=True):
        np.testing.assert_allclose(b[:, :5], a, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(padded.pooled, alone.pooled, rtol=1e-12, atol=1e-13)
    for weights in padded.attentions:
        assert (weights[..., 5:] == 0).all()


def test_a_batch_that_is_all_padding_is_no_nan():
    config = small_config()
    inputs = random_inputs(config)._replace(attention_mask=np.zeros((4, 9), int))
    output, _, g = loss_and_gradients(inputs, random_parameters(config), config)
    assert np.isfinite(output.loss)
    assert np.isfinite(g.flat).all()


def test_the_decoder_is_the_embedding_table_and_hears_from_both_uses():
    config = small_config()
    inputs, parameters = random_inputs(config), random_parameters(config)
    table = parameters["bert"]["embeddings"]["word_embeddings"]["weight"]
    decoder = parameters["cls"]["predictions"]["decoder"]["weight"]
    assert np.shares_memory(table, decoder)
    assert not [name for name, _ in parameters.items() if "decoder" in name]
    both = loss_and_gradients(inputs, parameters, config)[2]["bert"]["embeddings"]["word_embeddings"]["weight"]

    g = parameters.zeros_like()
    untied = {**g["cls"]["predictions"], "decoder": {"weight": np.zeros_like(decoder), "bias": np.zeros(config.vocab_size)}}
    _, cache = pretraining.forward(inputs, parameters.tree, config)
    pretraining.backward(Output(loss=1.0), cache, parameters.tree, {**g.tree, "cls": {**g["cls"], "predictions": untied}})
    as_table, as_decoder = g["bert"]["embeddings"]["word_embeddings"]["weight"], untied["decoder"]["weight"]
    assert as_table.any()
    assert as_decoder.any()
    np.testing.assert_allclose(both, as_table + as_decoder, rtol=1e-13, atol=1e-15)


@NORMS
def test_recomputation_changes_no_bit(norm_first):
    config = small_config(norm_first=norm_first)
    inputs, parameters = random_inputs(config), random_parameters(config, dtype=np.float32)
    options = {"key": KEY, "head_mask": np.random.default_rng(0).random((3, 2)).astype(np.float32)}
    kept, d_kept, g_kept = loss_and_gradients(inputs, parameters, config, **options)
    g = parameters.zeros_like()
    usual = encoder.stack(parameters["bert"]["encoder"], g["bert"]["encoder"], config)
    layers = [(recompute(module), p, gi) for module, p, gi in usual]
    output, cache = pretraining.forward(inputs, parameters.tree, config, layers=layers, **options)
    d = pretraining.backward(Output(loss=1.0), cache, parameters.tree, g.tree)
    assert output.loss == kept.loss
    np.testing.assert_array_equal(g.flat, g_kept.flat)
    equal(d, d_kept)
    activations = {id(a) for block_cache in cache.bert.encoder.blocks for a in arrays(block_cache.inputs)}
    assert len(activations) < len(list(arrays(cache.bert.encoder.blocks[0]))) * 3  # nothing but inputs is kept


def test_layers_left_out():
    """A model cut after its second block is the model that never had a third."""
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    g = parameters.zeros_like()
    layers = encoder.stack(parameters["bert"]["encoder"], g["bert"]["encoder"], config)
    output, cache = pretraining.forward(inputs, parameters.tree, config, layers=layers[:2])
    pretraining.backward(Output(loss=1.0), cache, parameters.tree, g.tree)
    shorter = config.replace(num_hidden_layers=2)
    expected, _, g_expected = loss_and_gradients(inputs, parameters, shorter)  # reads layers 0 and 1 of the same tree
    assert output.loss == expected.loss
    assert len(output.bert.hidden_states) == 3
    np.testing.assert_array_equal(g.flat, g_expected.flat)
    assert not g["bert"]["encoder"]["layer"]["2"]["output"]["dense"]["weight"].any()


def test_no_layers_at_all():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    g = parameters.zeros_like()
    output, cache = pretraining.forward(inputs, parameters.tree, config, layers=[])
    pretraining.backward(Output(loss=1.0), cache, parameters.tree, g.tree)
    assert output.bert.last_hidden_state is output.bert.hidden_states[0]
    assert g["bert"]["embeddings"]["word_embeddings"]["weight"].any()


def test_a_repeated_layer_hears_from_every_use():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    p, shared = parameters["bert"]["encoder"], parameters.zeros_like()
    (module, p0, g0), *_ = encoder.stack(p, shared["bert"]["encoder"], config)
    output, cache = pretraining.forward(inputs, parameters.tree, config, layers=[(module, p0, g0)] * 3)
    pretraining.backward(Output(loss=1.0), cache, parameters.tree, shared.tree)

    copies = random_parameters(config)  # three layers that happen to be alike: their gradients, summed, are the same
    for i in ("1", "2"):
        for name, view in copies.items():
            if f"layer.{i}." in name:
                view[...] = dict(parameters.items())[name.replace(f"layer.{i}.", "layer.0.")]
    expected, _, g = loss_and_gradients(inputs, copies, config)
    assert output.loss == expected.loss
    gradients = dict(g.items())
    for name, view in shared.items():
        if "layer.0." in name and not name.endswith("key.bias"):
            total = sum(gradients[name.replace("layer.0.", f"layer.{i}.")] for i in range(3))
            assert distance(view, total) <= 1e-12, name


def test_frozen_layers_get_no_gradient_and_pass_theirs_on():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    full = loss_and_gradients(inputs, parameters, config, key=KEY)
    g = parameters.zeros_like()
    layers = [(module, p, NOTHING if i == 1 else gi)
              for i, (module, p, gi) in enumerate(encoder.stack(parameters["bert"]["encoder"], g["bert"]["encoder"], config))]
    _, cache = pretraining.forward(inputs, parameters.tree, config, key=KEY, layers=layers)
    pretraining.backward(Output(loss=1.0), cache, parameters.tree, g.tree)
    for (name, view), (_, expected) in zip(g.items(), full[2].items(), strict=True):
        np.testing.assert_array_equal(view, np.zeros_like(view) if "layer.1." in name else expected)


@NORMS
def test_attribution_pays_for_no_parameter_gradients(norm_first):
    config = small_config(norm_first=norm_first)
    inputs, parameters = random_inputs(config), random_parameters(config)
    _, wanted, _ = loss_and_gradients(inputs, parameters, config, key=KEY)
    _, d, g = loss_and_gradients(inputs, parameters, config, wanted=False, key=KEY)
    np.testing.assert_array_equal(d.embeddings, wanted.embeddings)
    assert not g.flat.any()


def unreachable(*args, **kwargs):
    raise AssertionError("a backward that nobody needs was called")


def test_layers_that_no_gradient_reaches_are_not_called():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    g = parameters.zeros_like()
    usual = encoder.stack(parameters["bert"]["encoder"], g["bert"]["encoder"], config)
    closed = SimpleNamespace(forward=post_ln.forward, backward=unreachable)

    # a probe on the state after the first block: the blocks above it play no part
    layers = [usual[0], (closed, *usual[1][1:]), (closed, *usual[2][1:])]
    output, cache = pretraining.forward(inputs, parameters.tree, config, layers=layers)
    probe = bert.Output(hidden_states=[None, np.ones_like(output.bert.hidden_states[1]), None, None])
    d = pretraining.backward(Output(bert=probe), cache, parameters.tree, g.tree)
    assert d.embeddings.any()

    # the state entering the last block comes from outside: the blocks below it play no part
    layers = [(closed, *usual[0][1:]), (closed, *usual[1][1:]), usual[2]]
    given = {2: output.bert.hidden_states[2].copy()}
    _, cache = pretraining.forward(inputs, parameters.tree, config, layers=layers, hidden=given)
    d = pretraining.backward(Output(loss=1.0), cache, parameters.tree, g.tree)
    assert d.hidden[2].any()
    assert not d.embeddings.any()

    # an attention map of the middle block
    layers = [usual[0], usual[1], (closed, *usual[2][1:])]
    output, cache = pretraining.forward(inputs, parameters.tree, config, layers=layers)
    maps = bert.Output(attentions=[None, np.random.default_rng(0).random(output.bert.attentions[1].shape), None])
    assert pretraining.backward(Output(bert=maps), cache, parameters.tree, g.tree).embeddings.any()


def test_no_upstream_gradient_no_gradient():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    g = parameters.zeros_like()
    _, cache = pretraining.forward(inputs, parameters.tree, config)
    d = pretraining.backward(Output(), cache, parameters.tree, g.tree)
    assert not d.embeddings.any()
    assert not g.flat.any()


@pytest.mark.parametrize(("without", "counted"), [("labels", "nsp_loss"), ("next_labels", "mlm_loss")])
def test_one_task_alone(without, counted):
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    both, _, _ = loss_and_gradients(inputs, parameters, config)
    output, _, g = loss_and_gradients(inputs._replace(**{without: None}), parameters, config)
    assert output.loss == getattr(output, counted) == getattr(both, counted)
    unused = {"labels": ("cls.predictions",), "next_labels": ("cls.seq_relationship", "bert.pooler")}[without]
    for name, view in g.items():
        assert view.any() != name.startswith(unused), name


def test_without_labels_there_is_no_loss_but_all_else():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    output, cache = pretraining.forward(inputs._replace(labels=None, next_labels=None), parameters.tree, config)
    assert output.loss is output.mlm_loss is output.nsp_loss is None
    assert output.logits.shape == (8, 37)
    g = parameters.zeros_like()
    d = pretraining.backward(Output(loss=1.0, logits=np.ones_like(output.logits)), cache, parameters.tree, g.tree)
    assert d.embeddings.any()


def test_zero_counts_contribute_zero():
    """A micro-batch with nothing masked and no pair that counts, within a step that has neither."""
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    nothing = inputs._replace(labels=np.full_like(inputs.labels, cross_entropy.IGNORE),
                              next_labels=np.full_like(inputs.next_labels, cross_entropy.IGNORE))
    for options in ({}, {"counts": (0, 0)}, {"counts": (8, 4)}):
        output, _, g = loss_and_gradients(nothing, parameters, config, **options)
        assert output.loss == 0
        assert not g.flat.any()


@pytest.mark.parametrize("per_query", [False, True], ids=["(B, T)", "(B, T, T)"])
def test_a_mask_means_the_same_in_every_type(per_query):
    config = small_config()
    inputs, parameters = random_inputs(config), random_parameters(config)
    seen = inputs.attention_mask == 1
    if per_query:
        seen = seen[:, None] & np.tri(9, dtype=bool)
    results = [loss_and_gradients(inputs._replace(attention_mask=seen.astype(dtype)), parameters, config)
               for dtype in (bool, np.int8, np.int64, np.uint8, np.float16, np.float32, np.float64)]
    assert (results[0][0].bert.attentions[0][~np.broadcast_to(seen[:, None] if per_query else seen[:, None, None],
                                                              (4, 2, 9, 9))] == 0).all()
    for output, d, g in results[1:]:
        equal((output, d, g.flat), (results[0][0], results[0][1], results[0][2].flat))


def test_a_mask_for_all_queries_is_that_of_each():
    config = small_config()
    inputs, parameters = random_inputs(config), random_parameters(config)
    each = inputs._replace(attention_mask=np.repeat(inputs.attention_mask[:, None], 9, axis=1))
    (output, d, g), (expected, d_expected, g_expected) = (loss_and_gradients(x, parameters, config) for x in (each, inputs))
    equal((output, d, g.flat), (expected, d_expected, g_expected.flat))


def test_masks_of_other_libraries_are_refused_where_they_would_mean_something_else():
    config = small_config()
    inputs, parameters = random_inputs(config), random_parameters(config)
    for mask, message in ((inputs.attention_mask[:, None, None], r"expected shape \(B, T\) or \(B, T, T\), got \(4, 1, 1, 9\)"),
                          ((inputs.attention_mask - 1) * 1e4, r"0 where not, got -10000; of a mask that is to be added")):
        with pytest.raises(ValueError, match=message):
            loss_and_gradients(inputs._replace(attention_mask=mask), parameters, config)


def test_no_masked_position_at_all():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    empty = inputs._replace(positions=np.zeros(0, int), labels=np.zeros(0, int))
    output, _, g = loss_and_gradients(empty, parameters, config)
    assert output.mlm_loss == 0
    assert output.logits.shape == (0, 37)
    assert g["cls"]["seq_relationship"]["weight"].any()


def test_a_position_asked_twice_counts_twice():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    twice = inputs._replace(positions=np.repeat(inputs.positions, 2), labels=np.repeat(inputs.labels, 2))
    once, _, g_once = loss_and_gradients(inputs, parameters, config)
    output, _, g = loss_and_gradients(twice, parameters, config)
    assert output.loss == pytest.approx(once.loss, rel=1e-14)
    assert distance(g.flat, g_once.flat) <= 1e-13


def test_dropout_follows_the_key():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)

    def run(key):
        output, _, g = loss_and_gradients(inputs, parameters, config, key=key)
        return output.loss, g.flat

    again, other, none = run(KEY), run(KEY._replace(step=3)), run(None)
    equal(run(KEY), again)
    assert again[0] != other[0] != none[0]
    assert run(KEY._replace(micro_batch=2))[0] != again[0]


def test_without_rates_a_key_changes_nothing():
    config = small_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    parameters, inputs = random_parameters(config), random_inputs(config)
    with_key = loss_and_gradients(inputs, parameters, config, key=KEY)
    np.testing.assert_array_equal(with_key[2].flat, loss_and_gradients(inputs, parameters, config)[2].flat)


def test_integer_types_of_ids_do_not_matter():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    expected = loss_and_gradients(inputs, parameters, config)
    for kind in (np.int32, np.uint8):
        small = Inputs(*(a if a is None else a.astype(kind) for a in inputs))
        got = loss_and_gradients(small, parameters, config)
        assert got[0].loss == expected[0].loss
        np.testing.assert_array_equal(got[2].flat, expected[2].flat)


def test_word_vectors_give_what_their_ids_give():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    expected = loss_and_gradients(inputs, parameters, config, key=KEY)
    vectors = parameters["bert"]["embeddings"]["word_embeddings"]["weight"][inputs.ids]
    output, d, _ = loss_and_gradients(inputs._replace(ids=vectors), parameters, config, key=KEY)
    assert output.loss == expected[0].loss
    assert d.embeddings.shape == vectors.shape
    np.testing.assert_array_equal(d.embeddings, expected[1].embeddings)


def test_own_outputs_put_back_in_change_nothing():
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    output, _ = pretraining.forward(inputs, parameters.tree, config)
    body = output.bert
    given = {"hidden": {2: body.hidden_states[2]}, "attentions": {0: body.attentions[0]}, "head_mask": np.ones((3, 2))}
    again, _ = pretraining.forward(inputs, parameters.tree, config, **given)
    assert again.loss == output.loss


@pytest.mark.parametrize(("option", "value", "message"), [
    ("head_mask", np.ones((2, 3)), r"head_mask: expected shape \(L, A\) = \(3, 2\) or \(L, B, A\) = \(3, 4, 2\), got \(2, 3\)"),
    ("hidden", {4: np.ones((4, 9, 12))}, r"hidden\[4\]: expected a layer from 0 to 3"),
    ("hidden", {1: np.ones((4, 9, 11))}, r"shape \(B, T, H\) = \(4, 9, 12\), got \(4, 9, 11\)"),
    ("attentions", {3: np.ones((4, 2, 9, 9))}, r"attentions\[3\]: expected a layer from 0 to 2"),
    ("attentions", {0: np.ones((4, 2, 9, 8))}, r"shape \(B, A, T, T\) = \(4, 2, 9, 9\), got \(4, 2, 9, 8\)"),
])
def test_wrong_shapes_are_named(option, value, message):
    config = small_config()
    with pytest.raises(ValueError, match=message):
        pretraining.forward(random_inputs(config), random_parameters(config).tree, config, **{option: value})


def test_an_input_longer_than_the_position_table_is_an_error():
    config = small_config(max_position_embeddings=8)
    with pytest.raises(ValueError, match="input of 9 tokens: the model has 8 positions"):
        pretraining.forward(random_inputs(config), random_parameters(config).tree, config)


def test_recomputation_of_any_pair_with_any_arguments():
    rng = np.random.default_rng(0)
    x, residual, dy = rng.standard_normal((3, 2, 5, 4))
    p, g, g_kept = ({name: np.full(4, value) for name in ("weight", "bias")} for value in (1.5, 0.0, 0.0))
    y, cache = recompute(add_norm).forward(x, residual, p, rate=0.5, key=KEY)
    expected, kept = add_norm.forward(x, residual, p, rate=0.5, key=KEY)
    np.testing.assert_array_equal(y, expected)
    equal(recompute(add_norm).backward(dy, cache, p, g), add_norm.backward(dy, kept, p, g_kept))
    equal(g, g_kept)


def test_which_blocks_run_may_be_a_function_of_parameters_and_gradients():
    """Frozen, replaced and recomputed layers without a list that must know its gradients beforehand."""
    config = small_config()
    parameters, inputs = random_parameters(config), random_inputs(config)
    expected, _, g = loss_and_gradients(inputs, parameters, config)

    def usual_recomputed(p, g):
        return [(recompute(module), *rest) for module, *rest in encoder.stack(p, g, config)]

    output, _, again = loss_and_gradients(inputs, parameters, config, layers=usual_recomputed)
    assert output.loss == expected.loss
    np.testing.assert_array_equal(again.flat, g.flat)

    def replaced(p, g):  # layer 0 stands in for layer 1, and does not learn there
        first, _, last = encoder.stack(p, g, config)
        return [first, (*first[:2], NOTHING), last]

    output, _, g = loss_and_gradients(inputs, parameters, config, layers=replaced)
    layers = g["bert"]["encoder"]["layer"]
    assert output.loss != expected.loss
    assert not any(a.any() for a in arrays(layers["1"]))
    assert all(layers[i]["output"]["dense"]["weight"].any() for i in "02")
