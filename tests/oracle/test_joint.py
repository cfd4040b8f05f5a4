"""Generator and discriminator against transformers' two classes with one module of embeddings: losses, gradients, 20 steps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert.model import joint  # noqa: E402
from minibert.model.model import Inputs, Output  # noqa: E402
from minibert.parameters import Parameters, initialise  # noqa: E402
from minibert.pretrained import families  # noqa: E402
from minibert.tasks.batches import Position, Stream, collate, micro_batches  # noqa: E402
from minibert.tasks.corruption import replaced  # noqa: E402
from minibert.training.adamw import learning_rate  # noqa: E402
from minibert.training.engine import Engine, inputs  # noqa: E402
from minibert.workers import Workers  # noqa: E402
from tests import tiny_model  # noqa: E402
from tests.model.examples import distance  # noqa: E402
from tests.oracle.test_training import CLIP, CONSTANTS, PEAK, STEPS, WARMUP, torch_adamw  # noqa: E402
from tests.training.conftest import corpus, quick, train  # noqa: E402, F401 - fixtures

TOLERANCE = 1e-12
SIZES = {"vocab_size": len(tiny_model.TOKENS), "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3,
         "intermediate_size": 40, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
WIDTHS = pytest.mark.parametrize("changes", [{"embedding_size": 10}, {"embedding_size": None}, {"embedding_size": 12},
                                             {"embedding_size": 10, "hidden_act": "gelu_new"}], ids=str)


def ours(scale=None, **changes):
    """The model and its parameters: random ones, or with ``scale`` fresh ones, but that no bias is 0."""
    config = families.preset("electra", "small", 20, **{**SIZES, **changes})
    whole = joint.of(config, joint.smaller(config, 0.5))
    rng, layout = np.random.default_rng(0), whole.layout()
    if scale:
        p = initialise(layout, scale, dtype=np.float64)
        p.flat += rng.normal(0, 0.05, layout.size)
        return whole, p
    p = Parameters(layout, rng.normal(0, 0.15, layout.size))
    for name, view in p.items():
        view += name.endswith("LayerNorm.weight")
    return whole, p


def theirs(whole, p):
    """transformers' generator and discriminator with these weights, and their tensors by our names."""
    models, named = {}, {}
    for part, kind in (("generator", transformers.ElectraForMaskedLM), ("discriminator", transformers.ElectraForPreTraining)):
        config = getattr(whole, part).config
        model = kind(kind.config_class(**families.of(config).values(config), attn_implementation="eager")).double().eval()
        models[part] = model
    shared = models["generator"].electra.embeddings = models["discriminator"].electra.embeddings
    models["generator"].generator_lm_head.weight = shared.word_embeddings.weight
    shared.word_embeddings.padding_idx = None  # [PAD] may be drawn, and its row would get no gradient from the lookup
    for part, model in models.items():
        config, parameters = whole.apart(p)[part]
        tensors = dict(model.named_parameters(remove_duplicate=False))
        mine = {name: tensors[families.names(config).theirs(name)] for name in parameters.layout.slots}
        assert {id(x) for x in mine.values()} == {id(x) for x in model.parameters()}
        with torch.no_grad():
            for name, values in parameters.items():
                mine[name].copy_(torch.tensor(values))
        named |= {name if part == "discriminator" else f"generator.{name}": x for name, x in mine.items()}
    return *models.values(), {name: named[name] for name in p.layout.slots}


def batches(steps, seed=0):
    """Masked examples of unequal lengths; in some, tokens were drawn twice."""
    tokenizer, rng = tiny_model.make()[2], np.random.default_rng(seed)
    documents = [[rng.integers(5, SIZES["vocab_size"], rng.integers(2, 7)).tolist() for _ in range(9)] for _ in range(12)]
    stream = Stream(documents, tokenizer, max_length=16, batch_size=8, seed=seed, next_sentence=False, corruption=replaced,
                    rate=0.3)
    position = Position()
    for _ in range(steps):
        examples, position = stream.batch(position)
        yield examples


def their_loss(generator, discriminator, x: Inputs):
    """As in the original: unmask, put in what was drawn, ask the discriminator. The draw is ours."""
    mask = np.ones(x.ids.shape, np.int64) if x.attention_mask is None else x.attention_mask.astype(np.int64)
    seen = {"attention_mask": torch.tensor(mask), "token_type_ids": torch.tensor(x.token_type_ids)}
    logits = generator(input_ids=torch.tensor(x.ids), **seen).logits.flatten(0, 1)[torch.tensor(x.positions)]
    mlm = torch.nn.functional.cross_entropy(logits, torch.tensor(x.targets["mlm"]))
    drawn = joint.drawn(logits.detach().numpy(), x.targets["replaced"])
    ids, labels = x.ids.copy().reshape(-1), np.zeros(x.ids.size, np.int64)
    ids[x.positions] = x.targets["mlm"]
    text = ids.copy()
    ids[x.positions] = drawn
    labels[ids != text] = 1
    told = discriminator(input_ids=torch.tensor(ids.reshape(x.ids.shape)), **seen).logits.flatten()
    real = torch.tensor(mask.reshape(-1) == 1)  # their own loss makes float32 of the labels, and with them of itself
    asked = torch.tensor(labels).double()
    return mlm, torch.nn.functional.binary_cross_entropy_with_logits(told[real], asked[real]), labels


def some_right(whole, p, x: Inputs) -> Inputs:
    """With other numbers, by which every third word is drawn right."""
    z = whole.forward(x, p)[0].logits["mlm"]
    ends = (np.exp(z) / np.exp(z).sum(-1, keepdims=True)).cumsum(-1)
    words, rows = x.targets["mlm"], np.arange(len(z))
    middle = (ends[rows, words] + ends[rows, words - 1]) / 2
    return x._replace(targets={**x.targets, "replaced": np.where(x.positions % 3, x.targets["replaced"], middle)})


@WIDTHS
def test_losses_and_every_gradient(changes):
    whole, p = ours(**changes)
    generator, discriminator, named = theirs(whole, p)
    [examples] = batches(1)
    batch = collate(examples)
    x = inputs(batch, np, whole.config)
    assert len(np.unique(x.positions)) < len(x.positions)
    assert x.attention_mask is not None
    x = some_right(whole, p, x)
    out, cache = whole.forward(x, p, counts=whole.counts([batch]))
    g = p.zeros_like()
    whole.backward(Output(loss=1.0), cache, p, g)
    mlm, told, labels = their_loss(generator, discriminator, x)
    (mlm + 50 * told).backward()
    assert 0 < labels.sum() <= (np.unique(x.positions) % 3 > 0).sum()
    assert distance(out.losses["mlm"], mlm.item()) <= TOLERANCE
    assert distance(out.losses["replaced"], told.item()) <= TOLERANCE
    for name, view in g.items():
        if name.endswith("key.bias"):  # zero, but for rounding
            assert np.linalg.norm(view) <= 1e-11 * np.linalg.norm(named[name.replace("key", "query")].grad), name
            continue
        assert distance(view, named[name].grad.numpy()) <= TOLERANCE, name


def test_twenty_steps():
    """Of AdamW, with clipping, in micro-batches on two workers."""
    whole, start = ours(scale=0.3, embedding_size=10)
    generator, discriminator, named = theirs(whole, start)
    data, curve, expected = [*batches(STEPS)], [], []
    with Workers(2) as workers:
        e = Engine(whole, Parameters(start.layout, start.flat.copy()), workers, CONSTANTS, CLIP)
        for step, examples in enumerate(data, start=1):
            metrics, norm = e.train(micro_batches(examples, 60), learning_rate(step, PEAK, WARMUP, STEPS))
            curve.append((metrics.mlm_loss, metrics.replaced_loss, metrics.loss, norm))
        after = e.parameters
    step_with = torch_adamw(*([named[slot.name] for slot in start.layout.slots.values() if slot.decay == decay]
                              for decay in (True, False)))
    for step, examples in enumerate(data, start=1):
        generator.zero_grad()
        discriminator.zero_grad()
        mlm, told, _ = their_loss(generator, discriminator, inputs(collate(examples), np, whole.config))
        loss = mlm + 50 * told
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(named.values(), CLIP)
        step_with(learning_rate(step, PEAK, WARMUP, STEPS))
        expected.append((mlm.item(), told.item(), loss.item(), norm.item()))
    curve = np.array(curve)
    assert (curve[:, 3] > CLIP).any()
    assert curve[-1, 2] < curve[0, 2]
    np.testing.assert_allclose(curve, expected, rtol=1e-11)
    assert distance(after.flat, start.flat) > 0.01
    for name, view in after.items():
        assert distance(view, named[name].detach().numpy()) <= 1e-11, name


def test_a_run_opens_as_two_models(train, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    assert train(run, "--family", "electra", "--dropout", 0) == 0
    for name, kind in (("generator", "ElectraForMaskedLM"), ("discriminator", "ElectraForPreTraining")):
        model, report = getattr(transformers, kind).from_pretrained(run / name, output_loading_info=True)
        assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        assert model.config.architectures == [kind]
    one, two = (transformers.ElectraModel.from_pretrained(run / name).embeddings for name in ("generator", "discriminator"))
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b), name
