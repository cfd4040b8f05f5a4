"""Training sentence vectors against sentence-transformers: twenty steps of every loss, and the figures of a search."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("sentence_transformers")

from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.base.modules import Transformer  # noqa: E402
from sentence_transformers.sentence_transformer import losses  # noqa: E402
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Pooling  # noqa: E402

import minibert  # noqa: E402
from minibert import pretrained  # noqa: E402
from minibert.finetuning import models as ours  # noqa: E402
from minibert.model import pretraining  # noqa: E402
from minibert.parameters import initialise  # noqa: E402
from minibert.tasks.labelled import embed, metrics  # noqa: E402
from minibert.tasks.labelled.features import Feature, micro_batches  # noqa: E402
from minibert.training.adamw import AdamW, learning_rate  # noqa: E402
from minibert.training.engine import Engine  # noqa: E402
from minibert.workers import Workers  # noqa: E402
from tests import tiny_model  # noqa: E402
from tests.finetuning.conftest import files, finetune, heeds_interrupts, model, quick  # noqa: E402, F401

STEPS, PEAK, BATCH, CLIP, DECAY = 20, 2e-3, 8, 1.0, 0.1
DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-4)], ids=["float64", "float32"])
CASES = {  # kind, texts of an example, pooling, what our loss takes, sentence-transformers' loss
    "pairs": ("vectors", 2, "mean", {}, losses.MultipleNegativesRankingLoss),
    "warmer": ("vectors", 2, "cls", {"temperature": 0.5}, lambda net: losses.MultipleNegativesRankingLoss(net, scale=2.0)),
    "hard negatives": ("vectors", 4, "max", {}, losses.MultipleNegativesRankingLoss),
    "symmetric": ("vectors", 2, "mean", {"symmetric": True}, losses.MultipleNegativesSymmetricRankingLoss),
    "symmetric, hard negatives": ("vectors", 3, "mean", {"symmetric": True}, losses.MultipleNegativesSymmetricRankingLoss),
    "scored": ("similarity", 2, "mean", {}, losses.CosineSimilarityLoss),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that nobody has trained, for sentence-transformers to open."""
    path = tmp_path_factory.mktemp("models") / "model"
    config, _, tokenizer = tiny_model.make(hidden_size=24, intermediate_size=48, hidden_dropout_prob=0.0,
                                           attention_probs_dropout_prob=0.0)
    pretrained.save(path, config, pretraining.initial_parameters(config), tokenizer)
    return path


def network(folder, parameters, pooling, dtype):
    """sentence-transformers' model with our weights."""
    transformer = Transformer(str(folder))
    net = SentenceTransformer(modules=[transformer, Pooling(24, pooling_mode=pooling)], device="cpu")
    net.to(torch.float64 if dtype == np.float64 else torch.float32)
    state = {name.removeprefix("bert."): torch.tensor(np.array(view)) for name, view in parameters.items()}
    missing, unexpected = transformer.model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("pooler.") for name in missing)
    return net.train()


def features(kind, texts, config, count=40, seed=0):
    """Examples of texts of all lengths, with scores that float32, to which sentence-transformers casts them, holds exactly."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        ids = tuple(rng.integers(5, config.vocab_size, rng.integers(3, 15)) for _ in range(texts))
        labels = rng.integers(0, 9) / 8 if kind == "similarity" else texts * i + np.arange(texts)
        made.append(Feature(ids, tuple(map(len, ids)), np.array(labels), i))
    return made


def columns(batch):
    """What sentence-transformers reads of a batch: the first texts of all examples, padded, then the second ones …"""
    for texts in zip(*(feature.ids for feature in batch)):
        T = max(map(len, texts))
        ids = np.array([np.pad(text, (0, T - len(text))) for text in texts])
        mask = np.array([np.arange(T) < len(text) for text in texts]).astype(np.int64)
        yield {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


@DTYPES
@pytest.mark.parametrize("case", CASES)
def test_twenty_steps(case, dtype, tolerance, folder):
    kind, texts, pooling, options, make = CASES[case]
    config = pretrained.load(folder).config
    whole = ours.of(config, kind, 0, head={"pooling": pooling}, loss=options)
    parameters = initialise(whole.layout(), 0.1, 0, dtype)
    net = network(folder, parameters, pooling, dtype)
    loss_of = make(net)
    groups = [{"params": [p for n, p in net.named_parameters() if (n.endswith("bias") or "LayerNorm" in n) == plain],
               "weight_decay": 0.0 if plain else DECAY} for plain in (False, True)]
    adamw = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.999), eps=1e-6)
    made, rng = features(kind, texts, config), np.random.default_rng(0)
    figures = []
    with Workers(2) as workers:
        engine = Engine(whole, parameters, workers, AdamW(weight_decay=DECAY), CLIP)
        for step in range(1, STEPS + 1):
            batch, rate = [made[i] for i in rng.permutation(len(made))[:BATCH]], learning_rate(step, PEAK, 4, STEPS)
            cut = micro_batches(batch, 100)
            assert len(cut) > 1
            metrics, norm = engine.train(cut, rate)
            for group in adamw.param_groups:
                group["lr"] = rate
            adamw.zero_grad()
            loss = loss_of(columns(batch), torch.tensor(np.array([feature.labels for feature in batch])))
            loss.backward()
            expected = torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
            adamw.step()
            figures.append((float(metrics.loss), float(norm), loss.item(), expected.item()))
    loss, norm, their_loss, their_norm = np.array(figures).T
    assert loss[-5:].mean() < loss[:5].mean()  # something was learned
    np.testing.assert_allclose(loss, their_loss, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(norm, their_norm, rtol=100 * tolerance)


@pytest.mark.parametrize(("task", "pooling", "more"), [("embed", "mean", ()), ("embed", "max", ("--no-normalise",)),
                                                       ("embed_scored", "cls", ())])
def test_a_folder_opens_in_sentence_transformers_with_equal_vectors(task, pooling, more, finetune, files, tmp_path):  # noqa: F811
    assert finetune(task, "--epochs", 2, "--pooling", pooling, "--max-length", 10, *more) == 0
    net = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert net.max_seq_length == 10
    bert = minibert.load(tmp_path / "out", "cpu")
    texts = ["a", "the exception raises an exception .", "b c d e f g h i j k l m n o p"]
    theirs = net.encode(texts)
    np.testing.assert_allclose(bert.embed(texts), theirs, atol=1e-5)
    assert np.allclose(np.linalg.norm(theirs, axis=1), 1) == (not more)
    net.save(str(tmp_path / "theirs"))  # and what it saves is opened here
    np.testing.assert_allclose(minibert.load(tmp_path / "theirs", "cpu").embed(texts), theirs, atol=1e-5)


class Known:
    """A model whose vectors are known."""

    def __init__(self, vectors):
        self.vectors = vectors

    def encode_query(self, texts, **_):
        return torch.tensor(np.array([self.vectors[text] for text in texts]))

    encode_document = encode_query


def test_the_figures_of_a_search():
    """Anchors with several positives, positives of several anchors, negatives that are other anchors' positives."""
    rng = np.random.default_rng(0)
    pairs = [(f"q{q}", f"d{d}", f"d{n}") for q, d, n in rng.integers(0, 40, (120, 3))]
    vectors = {name: rng.standard_normal(6) for name in sorted({name for row in pairs for name in row})}
    examples = [embed.Example(a, p, (n,), True, "") for a, p, n in pairs]
    logits = [np.stack([vectors[name] for name in row]) for row in pairs]
    guesses = embed.guess(logits, [], examples, [], None)
    relevant = {a: {p for other, p, _ in pairs if other == a} for a, _, _ in pairs}
    corpus = {name: name for _, *found in pairs for name in found}
    evaluator = InformationRetrievalEvaluator({a: a for a in relevant}, corpus, relevant, mrr_at_k=[len(corpus)],
                                              precision_recall_at_k=[1, 10], accuracy_at_k=[1], ndcg_at_k=[1], map_at_k=[1],
                                              score_functions={"cosine": lambda a, b: torch.nn.functional.normalize(a) @
                                                               torch.nn.functional.normalize(b).T}, write_csv=False)
    theirs = evaluator.compute_all_metrics(Known(vectors))["cosine"]
    scores = embed.score(examples, guesses, [])
    assert scores["mrr"] == pytest.approx(theirs["mrr@k"][len(corpus)], rel=1e-12)
    for k in (1, 10):
        assert scores[f"recall_{k}"] == pytest.approx(theirs["recall@k"][k], rel=1e-12)
    assert sum(guess.ranks[0] == 1 for guess in {e.text: g for e, g in zip(examples, guesses)}.values()) == round(
        theirs["accuracy@k"][1] * len(relevant))
    assert metrics.recall_at([guess.ranks for guess in guesses], len(corpus)) == 1
