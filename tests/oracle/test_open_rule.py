"""Everything that can go in or come out, with its gradient, against the PyTorch block: one test for every door of the model."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from minibert.layers.cross_entropy import IGNORE  # noqa: E402
from minibert.layers.dropout import Key, draw  # noqa: E402
from minibert.model import bert, pretraining  # noqa: E402
from tests.model.examples import distance, random_inputs, random_parameters, small_config  # noqa: E402
from tests.oracle import torch_block  # noqa: E402

TOLERANCE = 1e-12
KEY = Key(seed=11, step=3, micro_batch=2)
NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-LN", "pre-LN"])


class Doors:
    """One batch, one set of weights, and whatever else is put in; ours and torch's, run with every output's gradient upstream."""

    def __init__(self, config, inputs, key=None, head_mask=None, hidden=None, attentions=None, counts=None):
        rng = np.random.default_rng(5)
        parameters, g = random_parameters(config), None
        hidden, attentions = hidden or {}, attentions or {}
        options = {"key": key, "head_mask": head_mask, "hidden": hidden, "attentions": attentions, "counts": counts}
        output, cache = pretraining.forward(inputs, parameters.tree, config, **options)

        def like(x):
            return rng.standard_normal(np.shape(x))

        body = output.bert
        d = pretraining.Output(
            loss=0.3, mlm_loss=0.5, nsp_loss=-0.7, logits=like(output.logits), next_logits=like(output.next_logits),
            bert=bert.Output(like(body.last_hidden_state), like(body.pooled), [like(h) for h in body.hidden_states],
                             [like(a) for a in body.attentions]))
        g = parameters.zeros_like()
        gradients = pretraining.backward(d, cache, parameters.tree, g.tree)

        def leaf(x):
            return None if x is None else torch.tensor(x, requires_grad=True)

        p = {name: leaf(view) for name, view in parameters.items()}
        words = leaf(inputs.ids) if inputs.ids.ndim == 3 else torch.tensor(inputs.ids)
        t_head_mask = leaf(head_mask)
        t_hidden = {i: leaf(h) for i, h in hidden.items()}
        t_attentions = {i: leaf(a) for i, a in attentions.items()}
        drop = torch_block.keep_all if key is None else self.dropper(key, config)
        last, pooled, states, weights = torch_block.bert(
            words, torch.tensor(inputs.token_type_ids), torch.tensor(inputs.attention_mask), p, config, t_head_mask, t_hidden,
            t_attentions, drop)
        logits, next_logits = torch_block.heads(last, pooled, p, config)
        logits = logits.flatten(0, 1)[torch.tensor(inputs.positions)]
        masked, pairs = counts or ((inputs.labels != IGNORE).sum(), (inputs.next_labels != IGNORE).sum())
        mlm = F.cross_entropy(logits, torch.tensor(inputs.labels), ignore_index=IGNORE, reduction="sum") / int(masked)
        nsp = F.cross_entropy(next_logits, torch.tensor(inputs.next_labels), ignore_index=IGNORE, reduction="sum") / int(pairs)

        pairs_of_outputs = {
            "mlm loss": (output.mlm_loss, mlm), "nsp loss": (output.nsp_loss, nsp), "loss": (output.loss, mlm + nsp),
            "logits": (output.logits, logits), "next logits": (output.next_logits, next_logits),
            "last hidden state": (body.last_hidden_state, last), "pooled": (body.pooled, pooled),
            **{f"hidden state {i}": pair for i, pair in enumerate(zip(body.hidden_states, states, strict=True))},
            **{f"attention {i}": pair for i, pair in enumerate(zip(body.attentions, weights, strict=True))},
        }
        for name, (ours, theirs) in pairs_of_outputs.items():
            assert distance(ours, theirs.detach().numpy()) <= TOLERANCE, name

        tensors = [mlm, nsp, logits, next_logits, last, pooled, *states, *weights]
        upstream = [np.array(0.8), np.array(-0.4), d.logits, d.next_logits, d.bert.last_hidden_state, d.bert.pooled,
                    *d.bert.hidden_states, *d.bert.attentions]
        wanted = [(tensor, torch.tensor(u)) for tensor, u in zip(tensors, upstream, strict=True) if tensor.requires_grad]
        torch.autograd.backward(*map(list, zip(*wanted)))

        pairs_of_gradients = {name: (view, p[name].grad) for name, view in g.items() if not name.endswith("self.key.bias")}
        if head_mask is not None:
            pairs_of_gradients["head_mask"] = (gradients.head_mask, t_head_mask.grad)
        pairs_of_gradients |= {f"hidden[{i}]": (gradients.hidden[i], h.grad) for i, h in t_hidden.items()}
        pairs_of_gradients |= {f"attentions[{i}]": (gradients.attentions[i], a.grad) for i, a in t_attentions.items()}
        if inputs.ids.ndim == 3:
            pairs_of_gradients["words"] = (gradients.embeddings, words.grad)
        for name, (ours, theirs) in pairs_of_gradients.items():
            expected = np.zeros(ours.shape) if theirs is None else theirs.numpy()
            assert ours.shape == expected.shape
            assert distance(ours, expected) <= TOLERANCE, name
        names = dict(g.items())
        for name, view in names.items():
            if name.endswith("self.key.bias"):
                assert np.linalg.norm(view) <= TOLERANCE * max(np.linalg.norm(names[name.replace("key", "query")]), 1e-3), name
        self.output, self.gradients, self.g = output, gradients, g

    @staticmethod
    def dropper(key, config):
        """The masks that the model draws, by place: dropout sits where it should, or the numbers differ."""
        places = {"attention": 0, "first": 1, "second": 2}

        def drop(x, *place):
            site = key.at(0) if place == ("embeddings",) else key.at(1).at(place[0]).at(places[place[1]])
            rate = config.attention_probs_dropout_prob if place[-1] == "attention" else config.hidden_dropout_prob
            return x * torch.tensor(draw(site, tuple(x.shape), rate, dtype=np.float64))

        return drop


def attention_override(config, inputs, seed=0):
    """Any non-negative weights; they need not sum to one."""
    batch, tokens = inputs.token_type_ids.shape
    return np.random.default_rng(seed).random((batch, config.num_attention_heads, tokens, tokens))


def state(config, inputs, seed=0):
    return np.random.default_rng(seed).standard_normal((*inputs.token_type_ids.shape, config.hidden_size))


@NORMS
@pytest.mark.parametrize("form", ["gelu", "gelu_new"])
def test_every_output_takes_an_upstream_gradient(norm_first, form):
    config = small_config(norm_first=norm_first, hidden_act=form)
    Doors(config, random_inputs(config))


@NORMS
def test_dropout_sits_where_it_should(norm_first):
    config = small_config(norm_first=norm_first)
    Doors(config, random_inputs(config), key=KEY)


@NORMS
@pytest.mark.parametrize("per_example", [False, True], ids=["(L, A)", "(L, B, A)"])
def test_head_mask(norm_first, per_example):
    config = small_config(norm_first=norm_first, num_attention_heads=3)
    inputs = random_inputs(config)
    head_mask = np.random.default_rng(2).random((3, *((len(inputs.ids),) if per_example else ()), 3))
    head_mask[1] = [1, 0, 1]
    Doors(config, inputs, key=KEY, head_mask=head_mask)


@NORMS
@pytest.mark.parametrize("layers", [(0,), (2,), (0, 1, 2)])
def test_attention_override(norm_first, layers):
    config = small_config(norm_first=norm_first)
    inputs = random_inputs(config)
    doors = Doors(config, inputs, key=KEY, attentions={i: attention_override(config, inputs, i) for i in layers})
    assert set(doors.gradients.attentions) == set(layers)
    for i in layers:
        assert not doors.g.tree["bert"]["encoder"]["layer"][str(i)]["attention"]["self"]["query"]["weight"].any()


@NORMS
@pytest.mark.parametrize("layers", [(0,), (1,), (3,), (0, 2), (0, 1, 2, 3)])
def test_hidden_states_replaced(norm_first, layers):
    config = small_config(norm_first=norm_first)
    inputs = random_inputs(config)
    doors = Doors(config, inputs, key=KEY, hidden={i: state(config, inputs, i) for i in layers})
    assert set(doors.gradients.hidden) == set(layers)


@NORMS
def test_everything_from_outside_at_once(norm_first):
    config = small_config(norm_first=norm_first)
    inputs = random_inputs(config)
    inputs = inputs._replace(ids=state(config, inputs, 8))
    head_mask = np.random.default_rng(2).random((3, len(inputs.ids), 2))
    Doors(config, inputs, key=KEY, head_mask=head_mask, hidden={1: state(config, inputs)},
          attentions={0: attention_override(config, inputs), 2: attention_override(config, inputs)}, counts=(17, 13))


@NORMS
def test_word_vectors_instead_of_ids(norm_first):
    config = small_config(norm_first=norm_first)
    inputs = random_inputs(config)
    Doors(config, inputs._replace(ids=state(config, inputs)))


@NORMS
def test_a_mask_for_every_query(norm_first):
    config = small_config(norm_first=norm_first)
    inputs = random_inputs(config)
    tokens = inputs.ids.shape[1]
    causal = np.tri(tokens, dtype=int) * inputs.attention_mask[:, None]
    Doors(config, inputs._replace(attention_mask=causal))


@NORMS
def test_labels_to_ignore_and_counts_of_a_larger_step(norm_first):
    config = small_config(norm_first=norm_first)
    inputs = random_inputs(config)
    labels, next_labels = inputs.labels.copy(), inputs.next_labels.copy()
    labels[::3] = next_labels[1] = IGNORE
    inputs = inputs._replace(labels=labels, next_labels=next_labels)
    Doors(config, inputs)
    Doors(config, inputs, counts=(50, 9))
