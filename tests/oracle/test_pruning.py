"""A model without some of its heads and rows against transformers, with zeros in their places."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert.compression import cutting  # noqa: E402
from minibert.model import pretraining  # noqa: E402
from tests.model.examples import distance, random_inputs, random_parameters, small_config  # noqa: E402
from tests.oracle.test_model import reference  # noqa: E402

HEADS, ROWS = ((0, 2), (1,), (0, 1, 2)), ((0, 3, 4), tuple(range(20)), (7,))


@pytest.mark.parametrize("rows", [None, ROWS], ids=["heads", "heads and rows"])
def test_what_is_gone_is_zeros_in_transformers(rows):
    config = small_config(num_attention_heads=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    parameters, x = random_parameters(config), random_inputs(config)
    kept = cutting.whole(config)._replace(heads=HEADS, **({"rows": rows} if rows else {}))
    left = cutting.config_of(config, kept)
    small = cutting.cut(pretraining.of(left), parameters, config, kept)
    assert small.flat.size < parameters.flat.size
    out, _ = pretraining.forward(x, small.tree, left)

    model, theirs = reference(transformers.BertForPreTraining, config, parameters, np.float64)
    with torch.no_grad():
        for i in range(3):
            gone = [h * 4 + d for h in range(3) if h not in HEADS[i] for d in range(4)]
            theirs[f"bert.encoder.layer.{i}.attention.output.dense.weight"][:, gone] = 0
            theirs[f"bert.encoder.layer.{i}.output.dense.weight"][:, [r for r in range(20) if rows and r not in rows[i]]] = 0
    expected = model(input_ids=torch.tensor(x.ids), token_type_ids=torch.tensor(x.token_type_ids),
                     attention_mask=torch.tensor(x.attention_mask), output_attentions=True)
    logits = expected.prediction_logits.detach().numpy().reshape(-1, config.vocab_size)[x.positions]
    assert distance(out.logits, logits) <= 1e-12
    assert distance(out.next_logits, expected.seq_relationship_logits.detach().numpy()) <= 1e-12
    for i, attention in enumerate(expected.attentions):
        assert out.bert.attentions[i].shape == attention.shape
        assert distance(out.bert.attentions[i][:, HEADS[i]], attention.detach().numpy()[:, list(HEADS[i])]) <= 1e-12

    whole = cutting.full(left, "bert")
    assert whole == config
    zeros, _ = reference(transformers.BertForPreTraining, config, cutting.filled(pretraining.of(whole), small, left), np.float64)
    again = zeros(input_ids=torch.tensor(x.ids), token_type_ids=torch.tensor(x.token_type_ids),
                  attention_mask=torch.tensor(x.attention_mask)).prediction_logits
    assert distance(again.detach().numpy(), expected.prediction_logits.detach().numpy()) <= 1e-12
