"""Figures against scikit-learn, seqeval, and the official scripts' definitions of right answers."""

import collections
import importlib
import re
import string

import numpy as np
import pytest

from minibert.tasks.labelled import metrics, multi_label, qa

sklearn = pytest.importorskip("sklearn.metrics")
seqeval = pytest.importorskip("seqeval.metrics")
get_entities = importlib.import_module("seqeval.metrics.sequence_labeling").get_entities


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (2, 1), (5, 2), (9, 3)])
def test_classes(classes, seed):
    rng = np.random.default_rng(seed)
    labels = [f"c{i}" for i in range(classes)]
    gold = rng.choice(labels, 200, p=rng.dirichlet(np.ones(classes)))
    guess = np.where(rng.random(200) < 0.6, gold, rng.choice(labels, 200))
    matrix = metrics.confusion(gold, guess, labels)
    np.testing.assert_array_equal(matrix, sklearn.confusion_matrix(gold, guess, labels=labels))
    assert metrics.accuracy(gold, guess) == pytest.approx(sklearn.accuracy_score(gold, guess))
    assert metrics.f1_macro(matrix) == pytest.approx(sklearn.f1_score(gold, guess, average="macro"))
    assert metrics.matthews(matrix) == pytest.approx(sklearn.matthews_corrcoef(gold, guess))
    expected = sklearn.precision_recall_fscore_support(gold, guess, labels=labels, zero_division=0)
    np.testing.assert_allclose([score[1:] for score in metrics.per_class(matrix, labels)], np.array(expected).T)
    if classes == 2:
        assert metrics.per_class(matrix, labels)[1].f1 == pytest.approx(sklearn.f1_score(gold, guess, pos_label="c1"))


@pytest.mark.parametrize(("count", "seed"), [(1, 0), (4, 1), (30, 2)])
def test_several_labels(count, seed):
    rng = np.random.default_rng(seed)
    labels = [f"l{i}" for i in range(count)]
    gold, guess = (rng.random((60, count)) < rng.random(count) ** 2 for _ in range(2))
    gold[:, -1] = guess[:, -1] = count == 1  # one that is nowhere
    names = [[{name for name, there in zip(labels, row) if there} for row in rows] for rows in (gold, guess)]
    matrix = metrics.confusion_of_each(*names, labels)
    np.testing.assert_array_equal(matrix, sklearn.multilabel_confusion_matrix(gold, guess, labels=None if count > 1 else [1]))
    micro, macro = metrics.f1_micro_macro(matrix)
    assert micro == pytest.approx(sklearn.f1_score(gold, guess, average="micro", zero_division=0))
    assert macro == pytest.approx(sklearn.f1_score(gold, guess, average="macro" if count > 1 else "binary", zero_division=0))
    expected = sklearn.precision_recall_fscore_support(gold, guess, average=None, zero_division=0)
    if count > 1:
        np.testing.assert_allclose([score[1:] for score in metrics.per_label(matrix, labels)], np.array(expected).T)
    examples = [multi_label.Example("", None, tuple(row), "") for row in names[0]]
    scores = multi_label.score(examples, [multi_label.Guess(tuple(row), 1.0, {}) for row in names[1]], labels)
    assert scores["subset_accuracy"] == pytest.approx(sklearn.accuracy_score(gold, guess))


def test_correlations():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for x, y in ((rng.normal(size=50), rng.normal(size=50)), (rng.integers(0, 5, 80), rng.integers(0, 4, 80))):
        assert metrics.pearson(x, y) == pytest.approx(stats.pearsonr(x, y)[0])
        assert metrics.spearman(x, y) == pytest.approx(stats.spearmanr(x, y)[0])


def test_entities():
    rng = np.random.default_rng(0)
    tags = ["O", "O", "B-x", "I-x", "B-y", "I-y", "E-x", "S-y"]  # any order, also those that no scheme allows
    for count in (6, 8):
        gold = [rng.choice(tags[:count], rng.integers(1, 12)).tolist() for _ in range(200)]
        guess = [[tag if rng.random() < 0.7 else str(rng.choice(tags[:count])) for tag in row] for row in gold]
        whole, types = metrics.entity_scores(gold, guess)
        assert whole.f1 == pytest.approx(seqeval.f1_score(gold, guess))
        assert whole.precision == pytest.approx(seqeval.precision_score(gold, guess))
        assert whole.recall == pytest.approx(seqeval.recall_score(gold, guess))
        report = seqeval.classification_report(gold, guess, output_dict=True)
        for score in types:
            assert score.f1 == pytest.approx(report[score.label]["f1-score"])
            assert score.support == report[score.label]["support"]
        for row in gold:
            assert metrics.entities(row) == get_entities(row)


@pytest.mark.parametrize(("name", "tags", "reference"), [
    ("BIOES", "B-x I-x E-x S-x B-y I-y E-y S-y O", "BIESO"), ("BILOU", "B-x I-x L-x U-x B-y I-y L-y U-y O", None),
    ("BMES", "B-x M-x E-x S-x B-y M-y E-y S-y O", "BIESO"), ("BMES", "B M E S", "BIES"), ("BMEW", "B M E W O", "BIESO")])
def test_entities_whose_ends_are_marked(name, tags, reference):
    """seqeval's strict mode, with tags in any order; schemes that it does not know in the letters of IOBES."""
    schemes = importlib.import_module("seqeval.scheme")
    tags = tags.split()
    scheme = metrics.scheme(tags)
    assert scheme.name == name

    def spelled(rows):
        letters = dict(zip(dict.fromkeys(tag[0] for tag in tags), reference or "")) or {tag[0]: tag[0] for tag in tags}
        return [["O" if tag == "O" else f"{letters[tag[0]]}-{tag[2:] or '_'}" for tag in row] for row in rows]

    rng = np.random.default_rng(0)
    gold = [rng.choice(tags, rng.integers(1, 12)).tolist() for _ in range(300)]
    guess = [[tag if rng.random() < 0.8 else str(rng.choice(tags)) for tag in row] for row in gold]
    whole, types = metrics.entity_scores(gold, guess, scheme)
    strict = {"mode": "strict", "scheme": schemes.IOBES if reference else schemes.BILOU}
    rows = spelled(gold), spelled(guess)
    assert 0 < whole.f1 < 1
    assert whole.f1 == pytest.approx(seqeval.f1_score(*rows, **strict))
    assert whole.precision == pytest.approx(seqeval.precision_score(*rows, **strict))
    assert whole.recall == pytest.approx(seqeval.recall_score(*rows, **strict))
    report = seqeval.classification_report(*rows, output_dict=True, **strict)
    for score in types:
        assert (score.f1, score.support) == pytest.approx((report[score.label]["f1-score"], report[score.label]["support"]))
    for row, spelt in zip(gold, rows[0]):
        found = schemes.Entities([spelt], strict["scheme"]).entities[0]
        assert metrics.entities(row, scheme) == [(entity.tag, entity.start, entity.end - 1) for entity in found]


# The definitions of SQuAD's evaluate-v2.0.py and of cmrc2018_evaluate.py, written down once more, step by step as those scripts
# go.


def squad_normalise(s):
    s = s.lower()
    s = "".join(ch for ch in s if ch not in set(string.punctuation))
    s = re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", s)
    return " ".join(s.split())


def squad_f1(gold, guess):
    a, b = (squad_normalise(s).split() if s else [] for s in (gold, guess))
    same = sum((collections.Counter(a) & collections.Counter(b)).values())
    if len(a) == 0 or len(b) == 0:
        return int(a == b)
    if same == 0:
        return 0
    precision, recall = same / len(b), same / len(a)
    return 2 * precision * recall / (precision + recall)


def word_tokenize(s):
    """NLTK's, in what it does to the foreign words of CMRC 2018."""
    for pattern in (r"([^.])(\.)$", r"()([\]\[(){}<>\"%&$#@;!?])", r"()(,)(?!\d)"):
        s = re.sub(pattern, r"\1 \2 ", s.strip())
    return s.split()


def cmrc_segments(s):
    special = set("-:_*^/\\~`+=，。：？！“”；’《》……·、「」（）－～『』")
    out, word = [], ""
    for ch in s.lower().strip():
        if ch in special:
            continue
        if re.search("[\u4e00-\u9fa5]", ch):
            out += word_tokenize(word)
            word = ""
            out.append(ch)
        else:
            word += ch
    return out + word_tokenize(word)


def cmrc_f1(gold, guess):
    a, b = cmrc_segments(gold), cmrc_segments(guess)
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if x == y:
                table[i + 1, j + 1] = table[i, j] + 1
    longest = table.max()
    if longest == 0:
        return 0
    precision, recall = longest / len(b), longest / len(a)
    return 2 * precision * recall / (precision + recall)


def made_up(words, rng):
    answer = [str(word) for word in rng.choice(words, rng.integers(1, 6))]
    return answer, [str(rng.choice(words)) if rng.random() < 0.3 else word for word in answer[: rng.integers(1, len(answer) + 1)]]


def test_answers():
    rng = np.random.default_rng(0)
    words = ["The", "a", "an", "red,", "blue", "U.S.", "10%", "theory", "—", "it's", "Blue!"]
    for _ in range(500):
        gold, guess = (" ".join(part) for part in made_up(words, rng))
        assert metrics.answer_f1(gold, guess) == pytest.approx(squad_f1(gold, guess))
        assert metrics.answer_exact(gold, guess) == (squad_normalise(gold) == squad_normalise(guess))


def test_chinese_answers():
    rng = np.random.default_rng(0)
    pieces = ["北", "京", "大学", "，", "Windows", " ", "95", "·", "《", "战国", "。", "Ω"]
    for _ in range(500):
        gold, guess = ("".join(part) for part in made_up(pieces, rng))
        if cmrc_segments(gold) and cmrc_segments(guess):
            assert metrics.chinese_f1(gold, guess) == pytest.approx(cmrc_f1(gold, guess))


def test_the_samples_of_squad_and_cmrc(shared_data):
    """Both metrics over whole files, with guesses that are right, nearly right and wrong."""
    from minibert.finetuning.options import Settings
    rng = np.random.default_rng(0)
    for path, f1 in (("squad/squad_fixture.json", squad_f1), ("glue_samples/SQUAD/sample.json", squad_f1),
                     ("cmrc2018/dev.json", cmrc_f1)):
        examples = qa.read(shared_data / path, Settings(task="qa")).examples
        guesses = []
        for example in examples:
            text = example.answers[0][0] if example.answers and rng.random() < 0.8 else ""
            cut = text[: rng.integers(1, len(text) + 1)] if text else ""
            guesses.append(qa.Guess(cut, 1.0, float(rng.normal()), cut or example.context[:5]))
        scores = qa.score(examples, guesses, ["answer", "no answer"])
        golds = [[text for text, _ in example.answers] or [""] for example in examples]
        expected = [max(f1(gold, guess.text) for gold in texts) for texts, guess in zip(golds, guesses)]
        assert scores["f1"] == pytest.approx(np.mean(expected))
        if f1 is squad_f1:
            same = [max(squad_normalise(gold) == squad_normalise(guess.text) for gold in texts)
                    for texts, guess in zip(golds, guesses)]
            assert scores["exact"] == pytest.approx(np.mean(same))


def test_the_best_threshold():
    """``find_best_thresh`` of evaluate-v2.0.py, by trying every threshold."""
    rng = np.random.default_rng(0)
    examples, guesses = [], []
    for i in range(40):
        answers = [("red car", 0)] if rng.random() < 0.6 else []
        span = str(rng.choice(["red car", "red", "blue"]))
        examples.append(qa.Example(str(i), "?", "red car blue", answers, "here"))
        guesses.append(qa.Guess("", 1.0, float(rng.normal()), span))
    for i, (best, threshold) in enumerate(qa.best_thresholds(examples, guesses)):
        tried = []
        for t in [-np.inf, *sorted(guess.margin for guess in guesses)]:
            answered = [guess._replace(text="" if guess.margin > t else guess.span) for guess in guesses]
            tried.append(qa.score(examples, answered, ["answer", "no answer"])[("exact", "f1")[i]])
        assert best == pytest.approx(max(tried))
        answered = [guess._replace(text="" if guess.margin > threshold else guess.span) for guess in guesses]
        assert qa.score(examples, answered, ["answer", "no answer"])[("exact", "f1")[i]] == pytest.approx(best)
