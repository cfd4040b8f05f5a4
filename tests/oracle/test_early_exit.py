"""Branches against PyTorch, on the hidden states of transformers: answers, self-distillation, and where texts leave."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
import torch.nn.functional as F  # noqa: E402

from minibert.compression import early_exit  # noqa: E402
from minibert.finetuning import models, saved  # noqa: E402
from minibert.finetuning.options import Settings  # noqa: E402
from minibert.model import exits  # noqa: E402
from minibert.model.model import Inputs, Output  # noqa: E402
from minibert.parameters import Parameters  # noqa: E402
from minibert.tasks.labelled import TASKS  # noqa: E402
from tests import tiny_model  # noqa: E402
from tests.model.examples import distance, random_inputs, small_config  # noqa: E402
from tests.oracle.test_model import reference  # noqa: E402

TOLERANCE = 1e-12
LAYERS, CLASSES = 4, 3


class Branch(torch.nn.Module):
    """As in FastBERT: narrow, attention of two heads, the first token, dense, answer."""

    def __init__(self, p, hidden):
        super().__init__()
        size = len(p["output"]["weight"])
        self.narrow, self.dense = torch.nn.Linear(hidden, size), torch.nn.Linear(size, size)
        self.attention = torch.nn.MultiheadAttention(size, 2, batch_first=True)
        self.answer = torch.nn.Linear(size, CLASSES)
        parts = [p["attention"][name] for name in ("query", "key", "value")]
        self.double().load_state_dict({name: torch.tensor(np.array(value)) for name, value in {
            "narrow.weight": p["narrow"]["weight"], "narrow.bias": p["narrow"]["bias"],
            "attention.in_proj_weight": np.concatenate([part["weight"] for part in parts]),
            "attention.in_proj_bias": np.concatenate([part["bias"] for part in parts]),
            "attention.out_proj.weight": p["output"]["weight"], "attention.out_proj.bias": p["output"]["bias"],
            "dense.weight": p["dense"]["weight"], "dense.bias": p["dense"]["bias"],
            "answer.weight": p["weight"], "answer.bias": p["bias"]}.items()})

    def forward(self, x, padded):
        x = torch.tanh(self.narrow(x))
        x, _ = self.attention(x, x, x, key_padding_mask=padded, need_weights=False)
        return self.answer(torch.tanh(self.dense(x[:, 0])))


def both():
    """The whole model with its parameters and inputs; transformers' classifier of the same, and the branches in PyTorch."""
    config = small_config(num_hidden_layers=LAYERS, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    whole = early_exit.of(models.of(config, "sequence", CLASSES))
    layout = whole.layout()
    p = Parameters(layout, np.random.default_rng(7).normal(0, 0.4, layout.size))
    x = random_inputs(config, lengths=(9, 5, 7, 3))
    x = Inputs(x.ids, x.token_type_ids, x.attention_mask == 1, {"label": np.zeros(len(x.ids), int)})
    theirs, _ = reference(transformers.BertForSequenceClassification, config, p, np.float64, num_labels=CLASSES)
    branches = [Branch(p["branches"][str(i)], config.hidden_size) for i in range(1, LAYERS)]
    return whole, p, x, theirs, branches


def asked(x, theirs, branches):
    """Logits of every branch and of the head."""
    found = theirs(torch.tensor(x.ids), torch.tensor(x.attention_mask.astype(np.int64)), torch.tensor(x.token_type_ids),
                   output_hidden_states=True)
    padded = torch.tensor(~x.attention_mask)
    return [branch(state, padded) for branch, state in zip(branches, found.hidden_states[1:])] + [found.logits]


def test_branches_on_the_states_of_transformers():
    whole, p, x, theirs, branches = both()
    out, _ = whole.forward(x, p.tree)
    for name, expected in zip([*(f"branch_{i}" for i in range(1, LAYERS)), models.HEAD], asked(x, theirs, branches)):
        assert distance(out.logits[name], expected.detach().numpy()) <= TOLERANCE, name


def test_self_distillation_is_kldivloss_of_the_head_and_each_branch():
    """Loss and gradients, the head's answers detached."""
    whole, p, x, theirs, branches = both()
    out, cache = whole.forward(x, p.tree)
    g = p.zeros_like()
    whole.backward(Output(loss=1.0), cache, p.tree, g.tree)
    *students, teacher = asked(x, theirs, branches)
    loss = sum(torch.nn.KLDivLoss(reduction="batchmean")(F.log_softmax(student, -1), F.softmax(teacher.detach(), -1))
               for student in students)
    assert abs(out.loss - loss.item()) <= TOLERANCE * abs(loss.item())
    loss.backward()
    for i, branch in enumerate(branches, 1):
        ours, named = g["branches"][str(i)], dict(branch.named_parameters())
        for name in ("narrow", "dense"):
            for part in ("weight", "bias"):
                assert distance(ours[name][part], named[f"{name}.{part}"].grad.numpy()) <= 10 * TOLERANCE
        assert distance(ours["weight"], named["answer.weight"].grad.numpy()) <= 10 * TOLERANCE
        for part in ("weight", "bias"):
            assert distance(ours["output"][part], named[f"attention.out_proj.{part}"].grad.numpy()) <= 10 * TOLERANCE
            parts = named[f"attention.in_proj_{part}"].grad.numpy().reshape(3, -1, *ours["output"][part].shape[1:])
            for name, expected in zip(("query", "key", "value"), parts):
                assert (name, part) == ("key", "bias") or distance(ours["attention"][name][part], expected) <= 10 * TOLERANCE


def test_texts_leave_where_torch_is_sure_enough():
    """Entropy by torch.distributions, over that of equal shares; a row is what its branch says."""
    whole, p, x, theirs, branches = both()
    ways = torch.stack(asked(x, theirs, branches)).detach()  # (L, B, C)
    sure = torch.distributions.Categorical(logits=ways[:-1]).entropy() / np.log(CLASSES)
    for row in range(len(x.ids)):
        np.testing.assert_allclose(exits.uncertainty(ways[:-1, row].numpy()), sure[:, row].numpy(), rtol=1e-10)
    for speed in np.linspace(0.02, 0.98, 25):
        out, _ = exits.leaving(whole.alone, float(speed)).forward(x, p.tree)
        first = [next((i for i in range(LAYERS - 1) if sure[i, row] <= speed), LAYERS - 1) for row in range(len(x.ids))]
        assert (out.logits[exits.LAYER] - 1).tolist() == first
        assert distance(out.logits[models.HEAD], ways[first, range(len(first))].numpy()) <= TOLERANCE


def test_transformers_opens_the_folder(tmp_path):
    """As the model that it was before, whose logits are ours at speed 0."""
    config, _, tokenizer = tiny_model.make(num_hidden_layers=3)
    whole = exits.branched(models.of(config, "sequence", 2))
    layout = whole.layout()
    p = Parameters(layout, np.random.default_rng(0).normal(0, 0.3, layout.size).astype(np.float32))
    saved.save(tmp_path, saved.Model(TASKS["classify"], config, p, tokenizer, ["a", "b"], Settings(max_length=24), []))
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids = np.array([[1, 5, 6, 7, 2]])
    model = saved.load(tmp_path)
    assert model.leaves_early
    out, _ = model.leaving(0.0).forward(Inputs(ids, np.zeros_like(ids)), model.parameters.tree)
    np.testing.assert_allclose(out.logits[models.HEAD], theirs(torch.tensor(ids)).logits.detach().numpy(), rtol=1e-5, atol=1e-5)
