"""``train --init`` from a model of transformers: the loss before anything is learned is theirs, and what is lacking is named."""

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert.cli import main  # noqa: E402
from minibert.layers.cross_entropy import IGNORE  # noqa: E402
from minibert.tasks import batches  # noqa: E402
from minibert.training import checkpoint, command  # noqa: E402
from minibert.training.loop import read_rows  # noqa: E402
from tests import tiny_model  # noqa: E402


def test_a_masked_language_model_of_transformers_goes_on(tmp_path):
    torch.manual_seed(0)
    theirs = transformers.BertForMaskedLM(transformers.BertConfig(
        vocab_size=len(tiny_model.TOKENS), hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=32, initializer_range=0.5)).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "vocab.txt").write_text("\n".join(tiny_model.TOKENS) + "\n", encoding="utf-8")
    rng = random.Random(0)
    documents = ["\n".join(" ".join(rng.choices(("the", "an", "exception", "raises", "bad"), k=6)) for _ in range(5))
                 for _ in range(20)]
    (tmp_path / "text.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    run = tmp_path / "run"

    assert main(["train", "--init", str(tmp_path / "theirs"), "--corpus", str(tmp_path / "text.txt"), "--max-length", "32",
                 "--steps", "2", "--eval-every", "1", "--learning-rate", "1e-30", "--held-out", "0.2", "--device", "cpu",
                 "--threads", "1", "--out", str(run)]) == 0
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert ("has no bert.pooler.dense.bias, bert.pooler.dense.weight, cls.seq_relationship.bias, cls.seq_relationship.weight: "
            "initialised, not trained") in log

    state = checkpoint.load(run)
    text = command.read(state.settings, lambda text: None, state.tokenizer)
    losses, count = 0.0, 0
    for batch in batches.held_out(text.held_out, state.tokenizer, max_length=32):
        labels = np.full(batch.ids.size, IGNORE)
        labels[batch.positions] = batch.targets["mlm"]
        mask = None if batch.attention_mask is None else torch.tensor(batch.attention_mask.astype(np.int64))
        with torch.no_grad():
            out = theirs(torch.tensor(batch.ids), token_type_ids=torch.tensor(batch.token_type_ids), attention_mask=mask,
                         labels=torch.tensor(labels.reshape(batch.ids.shape)))
        losses += len(batch.positions) * out.loss.item()
        count += len(batch.positions)
    assert read_rows(run / "metrics.csv")[0]["held_out_mlm_loss"] == pytest.approx(losses / count, rel=1e-5)

    back = transformers.BertForMaskedLM.from_pretrained(run)
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], tensor, rtol=0, atol=1e-29, msg=name)
