"""TextCNN against PyTorch's Conv1d, BatchNorm1d and maximum: each layer, all gradients, and twenty steps of training."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gradcheck.combinations import CONVOLUTIONS  # noqa: E402
from minibert.layers import batch_norm, conv1d  # noqa: E402
from minibert.layers.dropout import Key  # noqa: E402
from minibert.model import pretraining  # noqa: E402
from minibert.model.model import Inputs, Output  # noqa: E402
from minibert.parameters import STATISTICS, initialise  # noqa: E402
from minibert.tasks.batches import Batch  # noqa: E402
from minibert.training.adamw import AdamW  # noqa: E402
from tests.model.examples import distance, small_config  # noqa: E402
from tests.training.examples import NO_DROPOUT, engine  # noqa: E402

CONFIG = small_config(**CONVOLUTIONS, **NO_DROPOUT)
LENGTHS = (9, 3, 7, 1, 12, 8)  # the filters, over 2 and 4 tokens twice, read 7


def test_conv1d():
    rng = np.random.default_rng(0)
    theirs, x = torch.nn.Conv1d(6, 7, 3).double(), torch.tensor(rng.standard_normal((4, 9, 6)), requires_grad=True)
    y = theirs(x.transpose(1, 2)).transpose(1, 2)
    dy = rng.standard_normal(y.shape)
    y.backward(torch.tensor(dy))
    p = {name: value.detach().numpy() for name, value in theirs.named_parameters()}
    g = {name: np.zeros_like(value) for name, value in p.items()}
    ours, cache = conv1d.forward(x.detach().numpy(), p)
    assert distance(ours, y.detach().numpy()) < 1e-14
    assert distance(conv1d.backward(dy, cache, p, g), x.grad.numpy()) < 1e-14
    for name, value in theirs.named_parameters():
        assert distance(g[name], value.grad.numpy()) < 1e-14


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(training):
    rng = np.random.default_rng(1)
    theirs = torch.nn.BatchNorm1d(6).double().train(training)
    theirs.load_state_dict({**theirs.state_dict(), **{name: torch.tensor(0.5 + rng.random(6)) for name in batch_norm.shapes(6)}})
    p = {name: theirs.state_dict()[name].numpy().copy() for name in batch_norm.shapes(6)}
    g = {name: np.zeros(6) for name in p}
    x = torch.tensor(rng.standard_normal((4, 5, 6)), requires_grad=True)
    mask = rng.random((4, 5)) < 0.7
    y = theirs(x[torch.tensor(mask)])  # (N, 6): the rows that count
    dy = rng.standard_normal(x.shape) * mask[..., None]
    y.backward(torch.tensor(dy[mask]))
    ours, cache = batch_norm.forward(x.detach().numpy(), p, mask, training=training)
    assert distance(ours[mask], y.detach().numpy()) < 1e-14
    assert distance(batch_norm.backward(dy, cache, p, g), x.grad.numpy()) < 1e-14
    for name, value in theirs.state_dict().items():
        if name in STATISTICS or name.startswith("running"):
            assert distance(p[name] - g[name], value.numpy()) < 1e-14  # what stands for its gradient is the step itself
        elif name in p:
            assert distance(g[name], getattr(theirs, name).grad.numpy()) < 1e-14


class TextCNN(torch.nn.Module):
    """Text by text, without a rectangle: each is as long as it is, or as what the filters read at least."""

    def __init__(self, config):
        super().__init__()
        E, F, H = config.embedding_width, config.hidden_size // len(config.filter_sizes), config.hidden_size
        self.config = config
        self.words, self.positions, self.types = (torch.nn.Embedding(rows, E) for rows in (
            config.vocab_size, config.max_position_embeddings, config.type_vocab_size))
        self.convolutions = torch.nn.ModuleList([torch.nn.Conv1d((E, F)[i], F, k, bias=False)
                                                 for i in range(2) for k in config.filter_sizes])
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(F, config.layer_norm_eps) for _ in self.convolutions])
        self.head = torch.nn.Linear(H, config.vocab_size)
        self.double()

    def unit(self, number, texts):
        rows = [self.convolutions[number](x.T[None])[0].T for x in texts]
        return torch.relu(self.norms[number](torch.cat(rows))).split([len(row) for row in rows])

    def forward(self, texts):
        """``texts``: of each its ids and token types ``(2, T)``."""
        least, widths = self.config.least_tokens, len(self.config.filter_sizes)
        padded = [torch.tensor(np.pad(text, ((0, 0), (0, max(0, least - text.shape[1]))))) for text in texts]  # [PAD] is 0
        x = [self.words(ids) + self.positions(torch.arange(len(ids))) + self.types(types) for ids, types in padded]
        columns = [self.unit(widths + k, self.unit(k, x)) for k in range(widths)]
        return self.head(torch.cat([torch.stack([h.max(0).values for h in column]) for column in columns], dim=1))

    def named(self):
        """Its tensors by our names."""
        found = {"bert.embeddings.word_embeddings": self.words, "bert.embeddings.position_embeddings": self.positions,
                 "bert.embeddings.token_type_embeddings": self.types, "cls.predictions": self.head}
        places = [(i, k) for i in range(2) for k in self.config.filter_sizes]
        for (i, k), convolution, norm in zip(places, self.convolutions, self.norms):
            found |= {f"bert.encoder.layer.{i}.filters.{k}.{name}": part
                      for name, part in (("convolution", convolution), ("BatchNorm", norm))}
        return {f"{path}.{name}": value for path, part in found.items() for name, value in part.state_dict(keep_vars=True).items()
                if name != "num_batches_tracked"}


def both(seed=0):
    """Our model, its parameters, and PyTorch's with the same numbers."""
    whole = pretraining.of(CONFIG)
    parameters, theirs = initialise(whole.layout(), 0.3, seed, np.float64), TextCNN(CONFIG)
    named = theirs.named()
    assert named.keys() == parameters.layout.slots.keys()
    for name, view in parameters.items():
        named[name].data = torch.tensor(view.copy())
    return whole, parameters, theirs


def batch(seed=0, lengths=LENGTHS):
    rng = np.random.default_rng(seed)
    texts = [np.stack([rng.integers(1, CONFIG.vocab_size, length), np.arange(length) > 2]) for length in lengths]
    real = np.arange(max(lengths)) < np.array(lengths)[:, None]
    ids, types = np.zeros((2, *real.shape), np.int64)
    ids[real], types[real] = np.concatenate(texts, axis=1)
    return texts, Batch(ids, types, real, {"mlm": rng.integers(0, CONFIG.vocab_size, len(texts))})


@pytest.mark.parametrize("training", [True, False])
def test_loss_logits_and_gradients_of_texts_of_all_lengths(training):
    whole, parameters, theirs = both()
    texts, x = batch()
    logits = theirs.train(training)(texts)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(x.targets["mlm"]))
    loss.backward()
    g = parameters.zeros_like()
    out, cache = whole.forward(Inputs(x.ids, x.token_type_ids, x.attention_mask, x.targets), parameters,
                               key=Key(0) if training else None)
    whole.backward(Output(loss=1.0), cache, parameters, g)
    assert distance(out.logits["mlm"], logits.detach().numpy()) < 1e-13
    assert float(out.loss) == pytest.approx(loss.item(), rel=1e-13)
    for name, view in g.items():
        if not name.endswith(STATISTICS):
            assert distance(view, theirs.named()[name].grad.numpy()) < 1e-12, name


def test_twenty_steps_with_their_running_statistics():
    _, parameters, theirs = both(1)
    optimiser = AdamW()
    plain = [value for name, value in theirs.named().items() if "Norm" in name or name.endswith("bias")]
    groups = [{"params": [p for p in theirs.parameters() if all(p is not q for q in plain)], "weight_decay": 0.01},
              {"params": [p for p in theirs.parameters() if any(p is q for q in plain)], "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=0.01, eps=optimiser.epsilon)
    losses = []
    with engine(CONFIG, 1, parameters=parameters, clip_norm=1.0) as e:
        for step in range(20):
            texts, x = batch(step % 4)
            metrics, _ = e.train([x], 0.01)
            theirs.zero_grad()
            loss = torch.nn.functional.cross_entropy(theirs(texts), torch.tensor(x.targets["mlm"]))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
            adamw.step()
            losses.append((float(metrics.loss), loss.item()))
        for name, view in e.parameters.items():
            assert distance(view, theirs.named()[name].detach().numpy()) < 1e-10, name
    ours, expected = np.array(losses).T
    np.testing.assert_allclose(ours, expected, rtol=1e-11)
    assert ours[16:].mean() < 0.9 * ours[:4].mean()  # four batches, again and again
