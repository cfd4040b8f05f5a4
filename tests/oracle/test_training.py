"""Twenty steps of training against transformers' model and PyTorch's AdamW; and a trained run in transformers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import minibert  # noqa: E402
from minibert import pretrained  # noqa: E402
from minibert.model import pretraining  # noqa: E402
from minibert.model.pretraining import Inputs  # noqa: E402
from minibert.tasks.batches import Position, Stream, collate, micro_batches  # noqa: E402
from minibert.training.adamw import AdamW, learning_rate  # noqa: E402
from tests import tiny_model  # noqa: E402
from tests.model.examples import all_labels, distance  # noqa: E402
from tests.oracle.test_model import reference  # noqa: E402
from tests.training.conftest import corpus, quick, train  # noqa: E402, F401 - fixtures
from tests.training.examples import NO_DROPOUT, engine  # noqa: E402

STEPS, PEAK, WARMUP, CLIP = 20, 2e-3, 4, 1.0
CONSTANTS = AdamW(weight_decay=0.1)

# Both sides differ by rounding only, and Adam does not blow it up: a gradient below epsilon moves nothing. The losses were seen
# to agree within 5e-16 in float64, and in float32 within 3e-7, a few units in the last place; another BLAS may need more.
DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-6)], ids=["float64", "float32"])


def model():
    """A model and a stream of masked pairs of unequal lengths for it."""
    config, parameters, tokenizer = tiny_model.make(hidden_size=24, intermediate_size=48, **NO_DROPOUT)
    rng = np.random.default_rng(0)
    documents = [[rng.integers(5, config.vocab_size, rng.integers(2, 9)).tolist() for _ in range(9)] for _ in range(12)]
    stream = Stream(documents, tokenizer, max_length=24, batch_size=8, seed=0)
    position, batches = Position(), []
    for _ in range(STEPS):
        examples, position = stream.batch(position)
        batches.append(examples)
    assert any(len({len(example.ids) for example in examples}) > 1 for examples in batches)
    return config, parameters, batches


def ours(config, parameters, batches, dtype, constants):
    """Losses and norms of twenty steps in micro-batches on two workers, and the weights after them."""
    curve = []
    with engine(config, 2, parameters=parameters.astype(dtype), optimiser=constants, clip_norm=CLIP) as e:
        for step, examples in enumerate(batches, start=1):
            metrics, norm = e.train(micro_batches(examples, 60), learning_rate(step, PEAK, WARMUP, STEPS))
            curve.append((metrics.loss, norm))
        return np.array(curve), e.parameters


def theirs(config, parameters, batches, dtype, optimiser):
    """The same of transformers, whole batches at once. ``optimiser``: (decayed, not decayed) -> step(lr)."""
    network, named = reference(transformers.BertForPreTraining, config, parameters, dtype)
    decayed, rest = ([p for name, p in named.items() if (name.endswith("bias") or "LayerNorm" in name) == plain]
                     for plain in (False, True))
    step_with = optimiser(decayed, rest)
    curve = []
    for step, examples in enumerate(batches, start=1):
        batch = collate(examples)
        inputs = Inputs(batch.ids, batch.token_type_ids, positions=batch.positions, labels=batch.targets["mlm"])
        mask = np.ones_like(batch.ids) if batch.attention_mask is None else batch.attention_mask.astype(np.int64)
        network.zero_grad()
        loss = network(torch.tensor(batch.ids), token_type_ids=torch.tensor(batch.token_type_ids),
                       attention_mask=torch.tensor(mask), labels=torch.tensor(all_labels(inputs)),
                       next_sentence_label=torch.tensor(batch.targets["nsp"])).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        step_with(learning_rate(step, PEAK, WARMUP, STEPS))
        curve.append((loss.item(), norm.item()))
    return np.array(curve), named


def torch_adamw(decayed, rest):
    groups = [{"params": decayed, "weight_decay": CONSTANTS.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=1.0, betas=(CONSTANTS.beta1, CONSTANTS.beta2), eps=CONSTANTS.epsilon)

    def step(lr):
        for group in adamw.param_groups:
            group["lr"] = lr
        adamw.step()

    return step


def reference_adam(decayed, rest, weight_decay=CONSTANTS.weight_decay):
    """``AdamWeightDecayOptimizer`` of the reference implementation: no correction of the moments."""
    moments = {p: (torch.zeros_like(p), torch.zeros_like(p)) for p in [*decayed, *rest]}

    @torch.no_grad()
    def step(lr):
        for decay, group in ((weight_decay, decayed), (0.0, rest)):
            for p in group:
                m, v = moments[p]
                m.copy_(CONSTANTS.beta1 * m + (1 - CONSTANTS.beta1) * p.grad)
                v.copy_(CONSTANTS.beta2 * v + (1 - CONSTANTS.beta2) * p.grad**2)
                p -= lr * (m / (v.sqrt() + CONSTANTS.epsilon) + decay * p)

    return step


@DTYPES
@pytest.mark.parametrize(("optimiser", "bias_correction"), [(torch_adamw, True), (reference_adam, False)],
                         ids=["torch.optim.AdamW", "the reference's, without bias correction"])
def test_twenty_steps(dtype, tolerance, optimiser, bias_correction):
    config, parameters, batches = model()
    curve, after = ours(config, parameters, batches, dtype, CONSTANTS._replace(bias_correction=bias_correction))
    expected, named = theirs(config, parameters, batches, dtype, optimiser)
    assert (curve[:, 1] > CLIP).any()  # clipping took part
    assert curve[-1, 0] < 0.9 * curve[0, 0]  # and something was learned
    np.testing.assert_allclose(curve[:, 0], expected[:, 0], rtol=tolerance)
    np.testing.assert_allclose(curve[:, 1], expected[:, 1], rtol=10 * tolerance)
    if dtype == np.float64:
        for name, view in after.items():
            assert distance(view, named[name].detach().numpy()) <= 1e-11, name


def test_a_trained_run_opens_in_transformers_with_the_same_logits(train, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    assert train(run, "--steps", 30, "--eval-every", 15, "--learning-rate", 0.01) == 0
    config, parameters, tokenizer, notes, *_ = pretrained.load(run)
    assert notes == []
    texts = [tokenizer.encode("raba rado [MASK] ralu .", "soba sodo soki ."), tokenizer.encode("tiba [MASK] .")]
    ids, types, mask = tokenizer.batch(texts)
    out, _ = pretraining.forward(Inputs(ids, types, mask), parameters.tree, config)

    network, report = transformers.BertForPreTraining.from_pretrained(run, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        expected = network.eval()(torch.tensor(ids), token_type_ids=torch.tensor(types), attention_mask=torch.tensor(mask))
    np.testing.assert_allclose(out.logits[mask == 1], expected.prediction_logits.numpy()[mask == 1], atol=1e-4)
    np.testing.assert_allclose(out.next_logits, expected.seq_relationship_logits.numpy(), atol=1e-4)
    assert np.ptp(out.logits[0, 3]) > 1  # a trained model, not a fresh one

    theirs = transformers.AutoTokenizer.from_pretrained(run)
    text = "raba rado [MASK] ralu ."
    assert theirs(text)["input_ids"] == tokenizer.encode(text).ids
    guesses = transformers.pipeline("fill-mask", model=str(run), device="cpu")(text, top_k=3)
    for (word, probability), guess in zip(minibert.load(run, "cpu").fill_mask(text, top=3), guesses, strict=True):
        assert word == guess["token_str"]
        assert probability == pytest.approx(guess["score"], abs=1e-5)
