"""Writing on from a text: the search, the mask, training and the command."""

import itertools

import numpy as np
import pytest

import minibert
from minibert import generation, pretrained
from minibert.cli import main
from minibert.model import pretraining
from minibert.tasks.batches import collate
from minibert.tasks.corruption import next_words
from minibert.tasks.examples import IGNORE, Example
from minibert.tasks.segments.prefix import prefixed, sees
from tests import tiny_model
from tests.model.examples import random_parameters, small_config
from tests.training.conftest import arguments, corpus, heeds_interrupts, quick, resume, train  # noqa: F401 - fixtures
from tests.training.runs import interrupt_after, slabs

V, MOST, END = 4, 4, 0


def following(begun):
    """The distribution after each beginning: any, and always the same."""
    z = np.array([np.random.default_rng([1, len(ids), *ids]).standard_normal(V) * 1.5 for ids in begun])
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def everything():
    """Every text of at most MOST tokens, with its log-probability."""
    for length in range(1, MOST + 1):
        for ids in itertools.product(range(V), repeat=length):
            if END not in ids[:-1] and (ids[-1] == END or length == MOST):
                yield ids, sum(following([ids[:i]])[0, ids[i]] for i in range(length))


@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
def test_with_as_many_beams_as_beginnings_the_search_is_exhaustive(penalty):
    expected = sorted(everything(), key=lambda text: -generation.score(text[1], len(text[0]), penalty))
    found = generation.search(following, END, beams=V**MOST, most=MOST, penalty=penalty)
    assert [ids for ids, _ in found] == [ids for ids, _ in expected]
    np.testing.assert_allclose([value for _, value in found], [value for _, value in expected], rtol=1e-13)
    assert sum(np.exp(value) for _, value in found) == pytest.approx(1.0)
    for beams in (2, 4):
        few = generation.search(following, END, beams=beams, most=MOST, penalty=penalty)
        assert len(few) == beams
        assert few[0][0] == expected[0][0]
        assert {ids for ids, _ in few} <= {ids for ids, _ in expected}


def test_one_beam_takes_the_likeliest_token_each_time():
    ids = ()
    while len(ids) < MOST and (not ids or ids[-1] != END):
        ids = (*ids, int(following([ids])[0].argmax()))
    assert generation.search(following, END, beams=1, most=MOST, penalty=0.0)[0][0] == ids


def test_a_larger_penalty_makes_up_for_length():
    def likely_end(begun):
        return np.log(np.tile([0.4, 0.6], (len(begun), 1)))

    lengths = [len(generation.search(likely_end, 0, beams=8, most=6, penalty=penalty)[0][0]) for penalty in (0.0, 4.0)]
    assert lengths == [1, 6]


def test_who_sees_whom():
    types, real = np.array([[0, 0, 0, 1, 1, 0]]), np.array([[1, 1, 1, 1, 1, 0]])
    assert sees(types, real)[0].astype(int).tolist() == [
        [1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0]]
    assert sees(types, np.ones_like(real))[0, 4, 5]  # without the padding mask the last token would see the padding


def masked(ids, split):
    return next_words.mask_example(Example(np.array(ids, np.int32), split, IGNORE), None, (0, 0, 0))


def test_every_token_of_b_is_asked_for_at_the_place_before_it():
    batch = collate([masked([2, 7, 8, 3, 9, 10, 3], 4), masked([2, 5, 3], 3), masked([2, 5, 3, 6, 3], 3)])
    assert batch.positions.tolist() == [3, 4, 5, 14 + 2, 14 + 3]
    assert batch.targets["mlm"].tolist() == [9, 10, 3, 6, 3]
    assert batch.attention_mask.shape == (3, 7, 7)
    assert batch.tokens == 7 + 3 + 5
    assert batch.ids[0].tolist() == [2, 7, 8, 3, 9, 10, 3]  # nothing is hidden


def test_no_guess_depends_on_what_comes_after_it_and_each_on_all_before():
    config = small_config(objectives=("mlm",), pooler=None)
    parameters, ids = random_parameters(config), np.array([2, 7, 8, 3, 9, 10, 11, 3])

    def logits(ids):
        batch = collate([masked(ids, 4)])
        x = pretraining.Inputs(batch.ids, batch.token_type_ids, batch.attention_mask, batch.positions)
        return pretraining.forward(x, parameters.tree, config)[0].logits

    before = logits(ids)
    for changed in range(1, 8):
        other = ids.copy()
        other[changed] = 20
        moved = np.abs(logits(other) - before).max(1) > 1e-6
        assert moved.tolist() == [changed <= place for place in (3, 4, 5, 6)], changed


def test_pairs_follow_one_another_in_the_text():
    _, _, tokenizer = tiny_model.make()
    rng = np.random.default_rng(0)
    document = [rng.integers(5, 60, 6).tolist() for _ in range(30)]
    text = [i for sentence in document for i in sentence]
    examples = prefixed([document], tokenizer, max_length=24, seed=0)
    assert {example.next_label for example in examples} == {IGNORE}
    pairs = [example for example in examples if example.split < len(example.ids)]
    for example in pairs:
        both = [*example.ids[1:example.split - 1].tolist(), *example.ids[example.split:-1].tolist()]
        assert any(text[i:i + len(both)] == both for i in range(len(text)))
    assert len(pairs) > 5


def test_a_run_teaches_it_and_goes_on_where_it_was_interrupted(train, resume, tmp_path, monkeypatch, capsys):  # noqa: F811
    more = ("--pairs", "prefix", "--steps", 60, "--eval-every", 20, "--learning-rate", 0.01, "--dropout", 0)
    assert train(tmp_path / "run", *more) == 0
    said = capsys.readouterr().out
    assert "next word" in said
    assert "minibert generate --model" in said
    with monkeypatch.context() as patch:
        interrupt_after(patch, 33)
        assert train(tmp_path / "broken", *more) == 130
    assert resume(tmp_path / "broken") == 0
    capsys.readouterr()
    assert slabs(tmp_path / "run") == slabs(tmp_path / "broken")
    bert = minibert.load(tmp_path / "run", "cpu")
    best, *others = bert.generate("raba rado raki ralu .", most=8)
    assert {word[:2] for word in best.text.split()} <= {"ra", "."}, best  # the words of the document go on
    assert best.score >= max(one.score for one in others)
    assert best.tokens[-1] == "[SEP]" or len(best.tokens) == 8
    assert main(["generate", "--model", str(tmp_path / "run"), "raba rado .", "--tokens", "3", "--beams", "2"]) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) == 2


def test_it_stands_beside_other_tasks(train, tmp_path, corpus):  # noqa: F811
    recipe = tmp_path / "two.toml"
    recipe.write_text("[[stage]]\nshare = 1.0\n[[stage.task]]\npairs = 'prefix'\n[[stage.task]]\nmasking = 'pieces'\n"
                      "pairs = 'full-sentences'\n", encoding="utf-8")
    assert train(tmp_path / "run", "--recipe", recipe) == 0
    assert "masked" in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(("more", "message"), [
    (("--masking", "spans"), "--masking: --pairs prefix asks for the next word everywhere; leave one of them out"),
    (("--whole-word",), "--whole-word: --pairs prefix asks for the next word"),
    (("--words", "trigrams"), "--words: --pairs prefix asks for the next word"),
    (("--family", "electra"), "--pairs: ELECTRA replaces single pieces"),
])
def test_what_does_not_go_with_it(train, tmp_path, more, message):  # noqa: F811
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", "--pairs", "prefix", *more)


def test_what_cannot_be_written(tmp_path):
    pretrained.save(tmp_path, *tiny_model.make())
    bert = minibert.load(tmp_path, "cpu")
    with pytest.raises(ValueError, match="the text has 24 tokens, and the model reads 24: there is no room to go on"):
        bert.generate("a " * 22)
    with pytest.raises(ValueError, match="beams must be at least 1, got 0"):
        bert.generate("a", beams=0)
    with pytest.raises(ValueError, match="penalty must be a finite number from 0 on, got -1"):
        bert.generate("a", penalty=-1)
    found = bert.generate("the exception", beams=3, most=40)  # as many as there is room for
    assert len(found) == 3
    assert all(len(one.tokens) <= 20 and not {"[PAD]", "[CLS]", "[MASK]", "[UNK]"} & {*one.tokens} for one in found)
