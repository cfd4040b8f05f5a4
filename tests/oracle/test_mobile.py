"""The blocks, embeddings and masked-word head of MobileBERT against transformers', and against PyTorch where it has none."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import torch.nn.functional as F  # noqa: E402
from transformers.models.mobilebert.modeling_mobilebert import MobileBertLayer  # noqa: E402

from minibert import pretrained  # noqa: E402
from minibert.compression import mobile as transfer  # noqa: E402
from minibert.config import BertConfig  # noqa: E402
from minibert.layers.softmax import additive_mask  # noqa: E402
from minibert.model import pretraining  # noqa: E402
from minibert.model.blocks import mobile  # noqa: E402
from minibert.parameters import Layout, Parameters  # noqa: E402
from minibert.tasks.batches import Batch, Position, micro_batches  # noqa: E402
from minibert.training.adamw import AdamW  # noqa: E402
from minibert.training.course import Course  # noqa: E402
from minibert.training.engine import Engine  # noqa: E402
from minibert.training.loop import Stage, Task  # noqa: E402
from minibert.workers import Workers  # noqa: E402
from tests import tiny_model  # noqa: E402
from tests.model.examples import all_labels, distance, loss_and_gradients, random_inputs, random_parameters  # noqa: E402
from tests.oracle.torch_block import linear  # noqa: E402
from tests.training.examples import engine, masked_examples  # noqa: E402

SIZES = {"vocab_size": 37, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 20,
         "max_position_embeddings": 16, "hidden_act": "relu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
         "embedding_size": 8}
OURS = {"bottleneck_size": 18, "word_window": 3, "long_decoder": True, "pooler": "first"}
THEIRS = {"intra_bottleneck_size": 18, "classifier_activation": False, "use_bottleneck_attention": False,
          "key_query_shared_bottleneck": False, "attn_implementation": "eager"}
FLAGS = {  # ours, theirs
    "shared": ({"attention_reads": "shared"}, {"key_query_shared_bottleneck": True}),
    "bottleneck": ({"attention_reads": "bottleneck"}, {"use_bottleneck_attention": True}),
    "wide": ({"bottleneck_size": None}, {"use_bottleneck": False}),
}
SPARE = {"use_bottleneck_attention": True, "key_query_shared_bottleneck": True}  # its second bottleneck is made and not used
EACH = pytest.mark.parametrize("flags", FLAGS)
NORM = pytest.mark.parametrize("norm", ["no_norm", "layer_norm"])
CONSTANTS = AdamW(weight_decay=0.1)
EPSILON = 1e-5  # what transformers takes for two of a block's norms and that of the embeddings, whatever its configuration says


def configs(flags, norm, ffn_count=4, **both):
    """The same configuration of ours and of transformers."""
    ours, theirs = FLAGS[flags]
    both = SIZES | {"layer_norm_eps": EPSILON} | both
    return (BertConfig(**both | OURS | ours, norm=norm, ffn_count=ffn_count),
            transformers.MobileBertConfig(**both | THEIRS | theirs, normalization_type=norm, num_feedforward_networks=ffn_count))


def renamed(name):
    """What transformers calls a tensor of ours."""
    for ours, theirs in (("bert.", "mobilebert."), ("embeddings.projection", "embeddings.embedding_transformation"),
                         ("predictions.extra", "predictions.dense")):
        name = name.replace(ours, theirs)
    return name


def turned(name, x):
    """It keeps the numbers that lengthen the decoder as (H - E, V)."""
    return x.T if name == "cls.predictions.extra.weight" else x


def reference(config, parameters):
    """The whole model of transformers with our weights, and its parameters by our names."""
    network = transformers.MobileBertForPreTraining(config).double().eval()
    # the row of the padding has a gradient here: it is the neighbour of the last word
    network.mobilebert.embeddings.word_embeddings.padding_idx = None
    theirs = dict(network.named_parameters())
    named = {name: theirs.pop(renamed(name)) for name, _ in parameters.items()}
    with torch.no_grad():
        for name, view in parameters.items():
            named[name].copy_(torch.tensor(turned(name, view)))
    return network, named, theirs


def check(ours, gradients, tolerance):
    """Every gradient, relative to its own size; that of the key's bias is zero but for rounding."""
    for name, got in ours.items():
        size = gradients[name.replace("self.key.bias", "self.query.bias")]
        assert np.linalg.norm(got - gradients[name]) <= tolerance * np.linalg.norm(size), name


def random_block(config, seed=0):
    rng = np.random.default_rng(seed)
    parameters = Parameters.zeros(Layout(mobile.shapes(config)), dtype=np.float64)
    for name, view in parameters.items():
        view[...] = 0.3 * rng.standard_normal(view.shape) + name.endswith("LayerNorm.weight")
    mask = (np.arange(7) < np.array([[7], [4], [5], [1]])).astype(np.int64)
    return parameters, rng.standard_normal((4, 7, config.hidden_size)), additive_mask(mask, np.float64), rng


def check_block(config, theirs):
    """``theirs(x, mask, parameters by name)`` -> y, in PyTorch: the output, and every gradient."""
    parameters, x, mask, rng = random_block(config)
    leaves = {name: torch.tensor(view, requires_grad=True) for name, view in parameters.items()}
    there = torch.tensor(x, requires_grad=True)
    expected = theirs(there, torch.tensor(mask), leaves)
    (y, _), cache = mobile.forward(x, parameters.tree, config, mask)
    assert distance(y, expected.detach().numpy()) <= 1e-13
    dy, g = rng.standard_normal(y.shape), parameters.zeros_like()
    expected.backward(torch.tensor(dy))
    d = mobile.backward(dy, cache, parameters.tree, g.tree)
    check({"x": d.dx, **dict(g.items())}, {name: leaf.grad.numpy() for name, leaf in {"x": there, **leaves}.items()}, 1e-12)


@EACH
@NORM
@pytest.mark.parametrize("ffn_count", [1, 4])
def test_a_block(flags, norm, ffn_count):
    ours, theirs = configs(flags, norm, ffn_count)
    layer = MobileBertLayer(theirs).double().eval()
    check_block(ours, lambda x, mask, p: torch.func.functional_call(layer, p, (x, mask), strict=True))


@NORM
def test_the_block_of_the_teacher(norm):
    """Queries, keys and values read the state: transformers makes tensors of other shapes for these flags, and fails."""
    config, _ = configs("shared", norm, 2, hidden_act="gelu_new")
    config = config.replace(attention_reads="state", bottleneck_size=30)

    def dense_norm(x, residual, p, name):
        y = linear(x, p, f"{name}.dense") + residual
        weight, bias = p[f"{name}.LayerNorm.weight"], p[f"{name}.LayerNorm.bias"]
        return F.layer_norm(y, y.shape[-1:], weight, bias, EPSILON) if norm == "layer_norm" else y * weight + bias

    def block(x, mask, p):
        n = dense_norm(x, 0, p, "bottleneck.input")
        read = [linear(x, p, f"attention.self.{part}") for part in ("query", "key", "value")]
        context = F.scaled_dot_product_attention(*(a.unflatten(-1, (3, 10)).movedim(2, 1) for a in read), mask)
        h = dense_norm(context.movedim(1, 2).flatten(2), n, p, "attention.output")
        for path in ("ffn.0.", ""):
            u = F.gelu(linear(h, p, f"{path}intermediate.dense"), approximate="tanh")
            h = dense_norm(u, h, p, f"{path}output")
        return dense_norm(h, x, p, "output.bottleneck")

    check_block(config, block)
    _, theirs = configs("shared", norm, 2)
    theirs.key_query_shared_bottleneck = False
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        MobileBertLayer(theirs)(torch.zeros(1, 3, 24))


def compare(ours, theirs, parameters, tolerance):
    """Hidden states, attentions, logits, loss and every gradient; the parameters that transformers has and we do not."""
    inputs = random_inputs(ours)
    output, _, g = loss_and_gradients(inputs, parameters, ours)
    network, named, spare = reference(theirs, parameters)
    expected = network(input_ids=torch.tensor(inputs.ids), token_type_ids=torch.tensor(inputs.token_type_ids),
                       attention_mask=torch.tensor(inputs.attention_mask), labels=torch.tensor(all_labels(inputs)),
                       next_sentence_label=torch.tensor(inputs.next_labels), output_hidden_states=True, output_attentions=True)
    expected.loss.backward()
    assert float(output.loss) == pytest.approx(expected.loss.item(), rel=tolerance)
    logits = expected.prediction_logits.detach().numpy().reshape(-1, ours.vocab_size)[inputs.positions]
    pairs = [(output.logits, logits), (output.next_logits, expected.seq_relationship_logits.detach().numpy()),
             *zip(output.bert.hidden_states, (h.detach().numpy() for h in expected.hidden_states), strict=True),
             *zip(output.bert.attentions, (a.detach().numpy() for a in expected.attentions), strict=True)]
    assert max(distance(got, there) for got, there in pairs) <= tolerance
    check(dict(g.items()), {name: turned(name, tensor.grad.numpy()) for name, tensor in named.items()}, tolerance)
    return spare


@EACH
@NORM
def test_the_whole_model(flags, norm):
    ours, theirs = configs(flags, norm)
    assert not compare(ours, theirs, random_parameters(ours), 1e-12)


@EACH
def test_without_norms_rounding_grows_with_the_scores_of_attention(flags):
    """States that nothing brings back to size 1 grow from block to block, and scores with their square: here beyond 1000.

    The softmax of a score s knows it to s·u at best (u: half a unit in the last place), and a gradient through it no better. That
    is the condition of the problem and no mistake of either side: our own gradients move with it, when each weight moves by one
    rounding. (Scores of 10,000 would be another matter: as in the reference, padding is kept out by -10,000, and the library has
    the lowest number that there is.)
    """
    ours, theirs = configs(flags, "no_norm")
    calm = random_parameters(ours)
    wild, inputs = Parameters(calm.layout, calm.flat * 1.25), random_inputs(ours)
    _, cache = pretraining.forward(inputs, wild.tree, ours)
    last = cache.bert.encoder.blocks[-1].attention
    assert 1000 < np.abs(last.q @ last.k.swapaxes(-1, -2)).max() < 5000
    compare(ours, theirs, wild, 1e-9)

    def moved(parameters):
        """How far the gradient moves that moves most."""
        nudged = Parameters(parameters.layout, np.nextafter(parameters.flat, 0.0))
        (_, _, g), (_, _, near) = (loss_and_gradients(inputs, p, ours) for p in (parameters, nudged))
        return max(distance(b, a) for (name, a), (_, b) in zip(g.items(), near.items()) if not name.endswith("key.bias"))

    assert moved(wild) > 10 * moved(calm)


def test_tensors_that_transformers_makes_and_does_not_use():
    ours, theirs = configs("bottleneck", "layer_norm")
    for key, value in SPARE.items():
        setattr(theirs, key, value)
    spare = compare(ours, theirs, random_parameters(ours), 1e-12)
    assert len(spare) == 4 * ours.num_hidden_layers
    assert all(".bottleneck.attention." in name for name in spare)


@pytest.mark.parametrize("changes", [{"word_window": 1}, {"word_window": 0, "embedding_size": None, "long_decoder": False}])
def test_embeddings_that_see_no_neighbours(changes):
    """Projected one by one; or as wide as the rest, where transformers makes a projection and does not use it."""
    ours, theirs = configs("shared", "no_norm")
    theirs.trigram_input, theirs.embedding_size, ours = False, changes.get("embedding_size", 8) or 24, ours.replace(**changes)
    spare = compare(ours, theirs, random_parameters(ours), 1e-12)
    assert spare.keys() == (set() if ours.word_window else {"mobilebert.embeddings.embedding_transformation.weight",
                                                            "mobilebert.embeddings.embedding_transformation.bias",
                                                            "cls.predictions.dense.weight"})


@EACH
@NORM
def test_a_folder_opens_in_transformers_with_the_same_numbers(flags, norm, tmp_path):
    ours, _ = FLAGS[flags]
    config, parameters, tokenizer = tiny_model.make(**OURS | ours | {
        "model_type": "mobilebert", "embedding_size": 4, "hidden_act": "relu", "norm": norm, "ffn_count": 2,
        "layer_norm_eps": EPSILON})
    parameters.flat *= 0.5
    pretrained.save(tmp_path, config, parameters, tokenizer)
    network, report = transformers.MobileBertForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids, types, mask = tokenizer.batch([tokenizer.encode("the [MASK] raises an exception.", "an exception")])
    out, _ = pretraining.forward(pretraining.Inputs(ids, types, mask), parameters.tree, config)
    with torch.no_grad():
        expected = network.eval()(torch.tensor(ids), token_type_ids=torch.tensor(types), attention_mask=torch.tensor(mask))
    np.testing.assert_allclose(out.logits, expected.prediction_logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(out.next_logits, expected.seq_relationship_logits.numpy(), atol=1e-4)


@EACH
@NORM
def test_twenty_steps(flags, norm):
    """Whole batches at once on both sides: whether a text is followed by padding is something that its last word sees here."""
    ours, theirs = configs(flags, norm)
    parameters = random_parameters(ours)
    network, named, _ = reference(theirs, parameters)
    plain = {name: tensor for name, tensor in named.items() if name.endswith("bias") or "LayerNorm" in name}
    groups = [{"params": [tensor for name, tensor in named.items() if name not in plain], "weight_decay": CONSTANTS.weight_decay},
              {"params": list(plain.values()), "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, betas=(CONSTANTS.beta1, CONSTANTS.beta2), eps=CONSTANTS.epsilon)
    curve = []
    with engine(ours, 1, parameters=parameters, optimiser=CONSTANTS, clip_norm=1.0) as e:
        for step in range(1, 21):
            examples, rate = masked_examples(ours, lengths=(9, 16, 5, 12, 7, 3), seed=step), 5e-3 * step / 20
            [batch] = micro_batches(examples, 10**6)
            metrics, norm = e.train([batch], rate)
            inputs = pretraining.Inputs(batch.ids, batch.token_type_ids, positions=batch.positions, labels=batch.targets["mlm"])
            adamw.zero_grad()
            loss = network(torch.tensor(batch.ids), token_type_ids=torch.tensor(batch.token_type_ids),
                           attention_mask=torch.tensor(batch.attention_mask), labels=torch.tensor(all_labels(inputs)),
                           next_sentence_label=torch.tensor(batch.targets["nsp"])).loss
            loss.backward()
            their_norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            for group in adamw.param_groups:
                group["lr"] = rate
            adamw.step()
            curve.append((metrics.loss, norm, loss.item(), their_norm.item()))
        losses, norms, their_losses, their_norms = np.array(curve, np.float64).T
        assert (norms > 1).any()  # clipping took part
        np.testing.assert_allclose(losses, their_losses, rtol=1e-11)
        np.testing.assert_allclose(norms, their_norms, rtol=1e-11)
        for name, view in e.parameters.items():
            assert distance(turned(name, view), named[name].detach().numpy()) <= 1e-11, name


@pytest.mark.parametrize("part", [0, 1, 2, None])
def test_a_step_of_the_transfer(part):
    """Of each layer alone, and of all: the losses, and the gradient of all that learns. Teacher and student are transformers'."""
    (config, theirs), (of_teacher, their_teacher) = configs("shared", "no_norm"), configs("bottleneck", "layer_norm")
    parameters, others = random_parameters(config), random_parameters(of_teacher, seed=1)
    x = random_inputs(config)
    batch = Batch(x.ids, x.token_type_ids, x.attention_mask == 1, {"mlm": x.labels, "nsp": x.next_labels}, x.positions)
    whole = transfer.of(pretraining.of(config), of_teacher, 0.5)
    stages = whole.staged([Stage([Task(lambda at: ([], Position()), lambda examples: [batch])])], Course(learning_rate=1.0))
    with Workers(1) as workers:
        engine = Engine(whole, parameters, workers, clip_norm=None, teacher=whole.answers(pretraining.of(of_teacher), others))
        metrics = engine.accumulate(stages[-1 if part is None else part].tasks[0].cut([]))

    network, named, _ = reference(theirs, parameters)
    teacher, _, _ = reference(their_teacher, others)
    given = {"input_ids": torch.tensor(x.ids), "token_type_ids": torch.tensor(x.token_type_ids),
             "attention_mask": torch.tensor(x.attention_mask), "output_hidden_states": True, "output_attentions": True}
    ours, there = network(**given), teacher(**given)
    real, divergence = torch.tensor(x.attention_mask == 1), torch.nn.KLDivLoss(reduction="batchmean")
    if part is None:
        rows = torch.tensor(x.positions)
        logits, answers = (out.prediction_logits.flatten(0, 1)[rows] for out in (ours, there))
        expected = {"soft": divergence(logits.log_softmax(-1), answers.detach().softmax(-1)),
                    "mlm": F.cross_entropy(logits, torch.tensor(x.labels)),
                    "nsp": F.cross_entropy(ours.seq_relationship_logits, torch.tensor(x.next_labels))}
        loss = 0.5 * expected["soft"] + 0.5 * expected["mlm"] + expected["nsp"]
    else:
        a, b = (out.hidden_states[part + 1][real] for out in (ours, there))
        b = b.detach()
        normal, (va, ma), (vb, mb) = (lambda z: F.layer_norm(z, z.shape[-1:], eps=1e-12)), *(
            torch.var_mean(z, -1, correction=0) for z in (a, b))
        p, q = (out.attentions[part].movedim(1, -2)[real].flatten(0, 1) for out in (ours, there))
        states = 100 * F.mse_loss(normal(a), normal(b)) + 5000 * F.mse_loss(ma, mb) + 5 * F.l1_loss(va, vb)
        looks = divergence(p.clamp_min(1e-300).log(), q.detach())  # padding is 0 on both sides
        expected = {f"feature_map_{part}": states, f"attention_{part}": looks}
        loss = sum(expected.values()) / config.num_hidden_layers
    loss.backward()
    for name, value in expected.items():
        assert metrics.losses[name] == pytest.approx(value.item(), rel=1e-12), name
    assert metrics.loss == pytest.approx(loss.item(), rel=1e-12)
    resting = whole.idle(expected)
    learned = {name: view for name, view in engine.gradients[0].items() if not name.startswith(resting)}
    assert len(learned) > 20
    check(learned, {name: turned(name, tensor.grad.numpy()) for name, tensor in named.items() if name in learned}, 1e-12)
    assert not any(view.any() for name, view in engine.gradients[0].items() if name not in learned)
