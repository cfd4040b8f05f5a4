"""The stochastic answer network beside the same in PyTorch, with its GRUCell, nothing dropped."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from minibert.config import BertConfig  # noqa: E402
from minibert.layers import cross_entropy, gru  # noqa: E402
from minibert.model.heads import san  # noqa: E402
from minibert.parameters import Layout, Parameters  # noqa: E402
from tests.model.examples import distance  # noqa: E402

B, T, H, C = 3, 7, 8, 4
TYPES = np.array([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0]])
MASK = np.arange(T) < np.array([7, 4, 6])[:, None]


class Oracle(torch.nn.Module):
    """module/san.py of namisan/mt-dnn with merge_opt 1 and mem_type 1, in evaluation."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(H, 1)
        self.query = torch.nn.Linear(H, H)
        self.gru = torch.nn.GRUCell(H, H)
        self.scores = torch.nn.Linear(4 * H, C)

    def forward(self, x, first, second, turns=5):
        s = self.first(x)[..., 0].masked_fill(~first, -float("inf")).softmax(1)[:, None].bmm(x)[:, 0]
        answers = []
        for _ in range(turns):
            a = x.bmm(self.query(s)[:, :, None])[..., 0].masked_fill(~second, -float("inf")).softmax(1)
            m = a[:, None].bmm(x)[:, 0]
            answers.append(self.scores(torch.cat([m, s, (m - s).abs(), m * s], 1)).softmax(1))
            s = self.gru(m, s)
        return torch.log(torch.stack(answers, 2).mean(2))


def pair(seed=0):
    """Our parameters, and the oracle with the same."""
    torch.manual_seed(seed)
    oracle = Oracle().double()
    parameters = Parameters.zeros(Layout(san.shapes(BertConfig(hidden_size=H, num_attention_heads=2), C)), dtype=np.float64)
    for name, view in parameters.items():
        view[...] = theirs(oracle, name).detach().numpy().reshape(view.shape)
    return parameters, oracle


def theirs(oracle, name):
    """GRUCell calls the weights of input and state weight_ih and weight_hh."""
    if name.startswith("gru."):
        _, part, kind = name.split(".")
        return getattr(oracle.gru, f"{kind}_{'ih' if part == 'input' else 'hh'}")
    return oracle.get_parameter(name)


def test_logits_loss_and_every_gradient():
    parameters, oracle = pair()
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((B, T, H)), rng.integers(0, C, B)
    tx = torch.tensor(x, requires_grad=True)
    expected = oracle(tx, torch.tensor(MASK & (TYPES == 0)), torch.tensor(MASK & (TYPES == 1)))
    loss = F.cross_entropy(expected, torch.tensor(labels))
    loss.backward()
    logits, cache = san.forward(x, MASK, TYPES, parameters.tree)
    ours, loss_cache = cross_entropy.forward(logits, labels)
    g = parameters.zeros_like()
    dx = san.backward(cross_entropy.backward(1.0, loss_cache), cache, parameters.tree, g.tree)
    assert distance(logits, expected.detach().numpy()) <= 1e-12
    assert abs(ours - loss.item()) <= 1e-12
    assert distance(dx, tx.grad.numpy()) <= 1e-12
    for name, view in g.items():
        assert distance(view, theirs(oracle, name).grad.numpy().reshape(view.shape)) <= 1e-12, name


def test_one_step_of_the_unit():
    parameters, oracle = pair(2)
    x, h = np.random.default_rng(3).standard_normal((2, B, H))
    y, _ = gru.forward(x, h, parameters["gru"])
    assert distance(y, oracle.gru(torch.tensor(x), torch.tensor(h)).detach().numpy()) <= 1e-12
