"""The gradient of a step of adversarial training against PyTorch's autograd on transformers' model."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert.data.randomness import NOISE, generator  # noqa: E402
from minibert.tasks.batches import collate, micro_batches  # noqa: E402
from minibert.training import adversarial  # noqa: E402
from minibert.training.course import Course  # noqa: E402
from tests.model.examples import distance  # noqa: E402
from tests.oracle.test_model import reference  # noqa: E402
from tests.oracle.test_training import model  # noqa: E402
from tests.training.examples import engine, gradient  # noqa: E402


class Theirs:
    """transformers' model on one batch: its loss, its guesses, and a word table that can be moved."""

    def __init__(self, config, parameters, examples):
        self.network, self.named = reference(transformers.BertForPreTraining, config, parameters, np.float64)
        self.batch = collate(examples)
        self.words = self.network.bert.embeddings.word_embeddings.weight

    def guesses(self):
        batch = self.batch
        mask = np.ones_like(batch.ids) if batch.attention_mask is None else batch.attention_mask.astype(np.int64)
        out = self.network(torch.tensor(batch.ids), token_type_ids=torch.tensor(batch.token_type_ids),
                           attention_mask=torch.tensor(mask))
        return out.prediction_logits.reshape(-1, len(self.words))[batch.positions], out.seq_relationship_logits

    def loss(self):
        words, pairs = self.guesses()
        return sum(torch.nn.functional.cross_entropy(y, torch.tensor(self.batch.targets[name]))
                   for name, y in (("mlm", words), ("nsp", pairs)))

    def divergence(self, before):
        return sum(torch.nn.functional.kl_div(y.log_softmax(-1), p, reduction="batchmean")
                   for y, p in zip(self.guesses(), before))

    def backward(self, loss, delta=0.0):
        """The gradient at E + δ is added to the others; E is as before."""
        kept = self.words.data.clone()
        self.words.data += delta
        loss().backward()
        self.words.data = kept

    def along(self, size):
        g = self.words.grad
        return size * g / (g.norm() + 1e-8)


def fgm(theirs, sum_of_both):
    theirs.backward(theirs.loss)
    delta = theirs.along(0.5)
    if not sum_of_both:
        theirs.network.zero_grad()
    theirs.backward(theirs.loss, delta)


def virtual(theirs, seed):
    before = [y.detach().softmax(-1) for y in theirs.guesses()]
    noise = torch.tensor(generator(seed, NOISE, 0).standard_normal(theirs.words.numel())).reshape(theirs.words.shape)
    theirs.backward(lambda: theirs.divergence(before), 10 * noise / (noise.norm() + 1e-8))
    delta = theirs.along(1.0)
    theirs.network.zero_grad()
    theirs.backward(lambda: theirs.divergence(before), delta)
    theirs.backward(theirs.loss)


@pytest.mark.parametrize("kind", adversarial.ADVERSARIES)
def test_the_gradient_is_autograds(kind):
    config, parameters, batches = model()
    parameters = parameters.astype(np.float64)
    theirs = Theirs(config, parameters, batches[0])
    virtual(theirs, 3) if kind == "virtual" else fgm(theirs, kind == "fgm")
    with engine(config, 2, parameters=parameters, seed=3) as e:
        parts = micro_batches(batches[0], 60)
        known = e._known(parts)
        metrics = e._metrics(known, adversarial.of(Course(adversarial=kind), e.model)(e, parts, known))
        found = type(parameters)(parameters.layout, gradient(e))
        assert float(metrics.loss) == pytest.approx(float(theirs.loss().detach()), rel=1e-12)
        np.testing.assert_array_equal(e.parameters.flat, parameters.flat)  # the word table is back, to the last bit
        for name, view in found.items():
            if not name.endswith("key.bias"):
                assert distance(view, theirs.named[name].grad.numpy()) <= 1e-10, name
