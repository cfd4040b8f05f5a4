"""What each published recipe trains opens in transformers as the class of its name, with the same answers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert import pretrained  # noqa: E402
from minibert.model import embeddings, pretraining  # noqa: E402
from minibert.model.model import Inputs  # noqa: E402
from minibert.pretrained import tensors  # noqa: E402
from minibert.training import command  # noqa: E402
from minibert.training.options import RECIPES  # noqa: E402
from tests.training.conftest import SMALL, arguments, corpus, quick  # noqa: E402, F401 - fixtures

CLASSES = {"bert": {"": "BertForPreTraining"}, "roberta": {"": "RobertaForMaskedLM"}, "albert": {"": "AlbertForPreTraining"},
           "electra": {"generator": "ElectraForMaskedLM", "discriminator": "ElectraForPreTraining"},
           "ernie-2.0": {"": "ErnieForPreTraining"}, "structbert": {"": "BertForPreTraining"},
           "nvidia": {"": "BertForPreTraining"}, "fast": {"": "BertForPreTraining"}}
BESIDE = {"ernie-2.0": {"capitalisation", "token_document", "reorder", "distance"}, "structbert": {"three_ways"}}  # no class has


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_s_model_is_one_of_transformers(name, corpus, tmp_path):  # noqa: F811 - the fixture
    run, small = tmp_path / "run", SMALL[:SMALL.index("--learning-rate")]
    assert command.run(arguments("--recipe", name, "--corpus", corpus, *small, "--steps", 10, "--out", run,
                                 "--vocab-size", 300 if name == "roberta" else 150)) == 0
    for place, kind in CLASSES[name].items():
        model, report = getattr(transformers, kind).from_pretrained(run / place, output_loading_info=True)
        assert not any(report[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
        ours = pretrained.load(run / place)
        ids = np.array([ours.tokenizer.encode("raba rado .").ids])
        types = ids * 0
        out, _ = pretraining.of(ours.config).forward(
            Inputs(ids, types, position_ids=embeddings.position_ids(ids, types + 1, ours.config)), ours.parameters.tree)
        with torch.no_grad():
            theirs = model.eval()(input_ids=torch.tensor(ids), token_type_ids=torch.tensor(types))
        found = theirs.prediction_logits if hasattr(theirs, "prediction_logits") else theirs.logits
        np.testing.assert_allclose(out.logits[ours.config.objectives[0]].reshape(found.shape), found.numpy(), atol=1e-4)
    path = run / "heads.safetensors"
    assert path.is_file() is (name in BESIDE)
    if name in BESIDE:
        with tensors.opened(path) as file:
            assert {tensor.split(".")[1] for tensor in file.shapes} == BESIDE[name]
        [note] = [note for note in pretrained.load(run).notes if note.startswith("heads.safetensors")]
        assert "that other tools have no class for" in note
