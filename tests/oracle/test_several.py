"""The folder of several tasks in transformers: its body opens as it is, and with a head from beside it gives the same logits."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert.finetuning import command, saved  # noqa: E402
from minibert.pretrained import tensors  # noqa: E402
from minibert.tasks.labelled.features import collate  # noqa: E402
from minibert.training.engine import predict  # noqa: E402
from minibert.workers import Workers  # noqa: E402
from tests.finetuning.conftest import SMALL, files, heeds_interrupts, model, parsed, quick  # noqa: E402, F401


@pytest.fixture
def folder(model, files, tmp_path):  # noqa: F811
    """Of a model of three tasks."""
    asked = [word for name in ("classify", "regress", "tag") for word in ("--task", name, *files(name), f"name={name}")]
    assert command.run(parsed("multi", *asked, "--model", model, "--out", tmp_path / "out", *SMALL, "--epochs", 1)) == 0
    return tmp_path / "out"


def given(one, file):
    """Features of a file, and the same as transformers reads it."""
    examples = one.task.read(file, one.settings).examples
    batch = collate(one.task.encode(examples, one.tokenizer, one.labels, one.settings)[0], range(len(examples)))
    mask = np.ones_like(batch.ids) if batch.attention_mask is None else batch.attention_mask.astype(np.int64)
    arrays = {"input_ids": batch.ids, "token_type_ids": batch.token_type_ids, "attention_mask": mask}
    return batch, {name: torch.tensor(x) for name, x in arrays.items()}


def test_the_body_opens(folder, files):  # noqa: F811
    net, report = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
    assert type(net).__name__ == "BertModel"
    assert not report["missing_keys"]
    assert all("tasks." in name for name in report["unexpected_keys"])


@pytest.mark.parametrize(("name", "reads"), [("classify", "pooler_output"), ("regress", "pooler_output"),
                                             ("tag", "last_hidden_state")])
def test_each_head_on_the_body_of_transformers(name, reads, folder, files):  # noqa: F811
    one = saved.load(folder, task=name)
    batch, inputs = given(one, files(name)[1])
    with Workers(1) as workers:
        _, logits = predict(one.network(), one.parameters, [batch], workers)
    with tensors.opened(folder / "model.safetensors") as file, torch.no_grad():
        weight, bias = (torch.tensor(file[f"tasks.{name}.classifier.{part}"]) for part in ("weight", "bias"))
        net = transformers.AutoModel.from_pretrained(folder).eval()
        expected = torch.nn.functional.linear(net(**inputs)[reads], weight, bias).numpy()
    for ours, theirs, real in zip(logits, expected, inputs["attention_mask"].numpy().astype(bool)):
        np.testing.assert_allclose(ours[real] if name == "tag" else ours, theirs[real] if name == "tag" else theirs, atol=1e-5)
