"""Hiding words beside transformers' collator, and what it makes of a model with heads that it has no class for."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert import pretrained  # noqa: E402
from minibert.model import pretraining  # noqa: E402
from minibert.model.model import Inputs  # noqa: E402
from minibert.parameters import Parameters  # noqa: E402
from minibert.tasks.corruption import gap_words  # noqa: E402
from minibert.tasks.examples import IGNORE, Example  # noqa: E402
from minibert.tasks.marks import marked  # noqa: E402
from tests import tiny_model  # noqa: E402

TEXTS = ["the exception. raises", "an exception .the first. bad.raises", "a.b c.d e", ". . the", "cab.  bed ..a"]


def test_words_between_gaps_are_those_of_the_collator(tmp_path):
    """The same choice of words, made by their generator, hides the same tokens, all by [MASK]."""
    ours = tiny_model.make()[2]
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    collator = transformers.DataCollatorForLanguageModeling(
        theirs, whole_word_mask=True, mlm_probability=0.4, mask_replace_prob=1.0, random_replace_prob=0.0, seed=0,
        return_tensors="np")
    rule = gap_words.rule(ours, rate=0.4)
    for text in TEXTS:
        encoded = theirs(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        [[begins]] = marked([[ours.ids(text)]], [[text]], ours, ["begins"]).marks["begins"]
        ids = np.array(encoded["input_ids"], np.int32)
        assert ids[1:-1].tolist() == ours.ids(text)
        example = Example(ids, len(ids), IGNORE, marks={"begins": np.array([False, *begins, False])})
        words = gap_words.words_of(example, rule)
        numbers, _ = collator._calc_word_ids_and_prob_mask(np.array([encoded["offset_mapping"]]),
                                                           np.array([encoded["special_tokens_mask"]]))
        assert [word.tolist() for word in words] == [np.flatnonzero(numbers[0] == n).tolist() for n in range(1, len(words) + 1)]
        batch = collator([dict(encoded)])
        hidden = np.flatnonzero(batch["labels"][0] != -100)
        chosen = [word for word in words if word[0] in hidden]
        assert hidden.tolist() == [place for word in chosen for place in word.tolist()]
        assert (batch["input_ids"][0][hidden] == theirs.mask_token_id).all()


def test_a_model_with_heads_beside_it_opens_as_bert(tmp_path):
    config, _, tokenizer = tiny_model.make()
    layout = pretraining.of(config, pretraining.FURTHER).layout()
    parameters = Parameters(layout, np.random.default_rng(0).normal(0, 0.3, layout.size).astype(np.float32))
    pretrained.save(tmp_path, config, parameters, tokenizer)
    theirs, told = transformers.BertForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    ids, types = np.array([[2, 7, 8, 3, 9, 3]]), np.array([[0, 0, 0, 0, 1, 1]])
    with torch.no_grad():
        expected = theirs.eval()(torch.tensor(ids), token_type_ids=torch.tensor(types))
    out, _ = pretraining.of(config, pretraining.FURTHER).forward(Inputs(ids, types), parameters)
    np.testing.assert_allclose(out.logits["mlm"], expected.prediction_logits.numpy(), atol=1e-5)
    np.testing.assert_allclose(out.logits["nsp"], expected.seq_relationship_logits.numpy(), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3, 9])
def test_judging_by_more_classes_is_bert_with_a_wider_head(classes):
    """The order beside next sentences, StructBERT's three ways and ERNIE 2.0's: BertForPreTraining, whose ``seq_relationship``
    has so many rows, in float64."""
    name = {2: "order", 3: "three_ways", 9: "reorder"}[classes]
    config, _, _ = tiny_model.make()
    config = config.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    whole = pretraining.of(config, [name, "trigrams"])
    parameters = Parameters(whole.layout(), np.random.default_rng(1).normal(0, 0.3, whole.layout().size))
    theirs = transformers.BertForPreTraining(transformers.BertConfig(**{
        key: value for key, value in config.to_dict().items() if key not in ("architectures", "model_type")})).double().eval()
    theirs.cls.seq_relationship = torch.nn.Linear(config.hidden_size, classes).double()
    own = {key: torch.tensor(np.array(value)) for key, value in parameters.items() if not key.startswith("cls.seq")}
    state = {key.replace(f"cls.{name}.", "cls.seq_relationship."): value for key, value in own.items()}
    lacking, odd = theirs.load_state_dict(state, strict=False)
    theirs.tie_weights()
    assert not odd
    assert {*lacking} <= {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "bert.embeddings.position_ids"}
    ids, types = np.array([[2, 7, 8, 3, 9, 3], [2, 9, 7, 3, 8, 3]]), np.array([[0, 0, 0, 0, 1, 1]] * 2)
    positions = np.array([1, 4, 7, 8])
    words = {"mlm": np.array([7, IGNORE, 8, IGNORE]), "trigrams": np.array([IGNORE, 9, IGNORE, 7])}
    labels = np.array([0, classes - 1])
    x = Inputs(ids, types, None, {**words, name: labels}, positions)
    out, cache = whole.forward(x, parameters)
    expected = theirs(torch.tensor(ids), token_type_ids=torch.tensor(types))
    rows = expected.prediction_logits.reshape(-1, config.vocab_size)[positions]
    loss = sum(torch.nn.functional.cross_entropy(rows, torch.tensor(target)) for target in words.values())
    loss = loss + torch.nn.functional.cross_entropy(expected.seq_relationship_logits, torch.tensor(labels))
    assert abs(out.loss - loss.item()) < 1e-12 * loss.item()
    loss.backward()
    g = parameters.zeros_like()
    whole.backward(type(out)(loss=1.0), cache, parameters, g)
    grads = {key: tensor.grad for key, tensor in theirs.named_parameters()}
    for key, value in g.items():
        if not key.startswith("cls.seq"):
            their = grads[key.replace(f"cls.{name}.", "cls.seq_relationship.")].numpy()
            assert np.linalg.norm(value - their) <= 1e-12 * max(np.linalg.norm(their), 1e-3), key
