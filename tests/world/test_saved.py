"""The folder of a world, its command, and the corpus of its name."""

import json
import os
import re

import numpy as np
import pytest

from minibert.cli import main
from minibert.data import corpora
from minibert.text import Tokenizer, Vocabulary
from minibert.world import MASK, Seen, World, saved, task_files
from minibert.world.floor import corrupt
from minibert.world.language import Language
from minibert.world.printed import printed


def test_a_folder_has_text_gold_vocabulary_and_tasks(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(task_files, "SPLITS", dict.fromkeys(task_files.SPLITS, 5))
    out = tmp_path / "w"
    assert main(["world", "--size", "small", "--out", str(out), "--tokens", "3000", "--seed", "7", "--relatives", "2"]) == 0
    assert "3,0" in capsys.readouterr().out
    world = World.of("small", relatives=2.0)
    documents = [world.sentences(document) for document in world.documents(3000, 7)]
    corpus = corpora.read(str(out / "text.txt"))
    assert corpus.documents == documents
    assert corpus.layout.startswith("lines")
    about = json.loads((out / "world.json").read_text(encoding="utf-8"))
    assert about["settings"]["relatives"] == 2.0
    assert about["sentences"] == sum(map(len, documents))
    tokenizer = Tokenizer(Vocabulary.load(out / "vocab.txt"), lower_case=False)
    for sentence in documents[0]:
        assert tokenizer.tokenize(sentence) == sentence.split()
    assert len((out / "gold.jsonl").read_text(encoding="utf-8").splitlines()) == len(documents)
    assert (out / "gold.conllu").read_text(encoding="utf-8").count("# newdoc") == len(documents)
    assert sorted(path.name for path in (out / "tasks").iterdir()) == [
        "bias", "choice", "constructions", "names", "nli", "pairs", "qa", "sentiment", "similarity"]
    with pytest.raises(FileExistsError, match="is there already, and not empty"):
        saved.save(world, out, 10)


@pytest.mark.parametrize("tokens", [1, 5000, 12_345])
def test_the_same_for_any_number_of_processes(tokens, tmp_path, monkeypatch):
    """And what the documents are, one by one."""
    monkeypatch.setattr(saved, "SHARE", 1000)
    world, seen = World.of("small", stay=0.2), []
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        counts = saved.sampled(world, tmp_path / str(processes), tokens, 3, lambda *done: seen.append(done), processes)
        documents = list(world.documents(tokens, 3))
        assert counts == (sum(len(sentence.lexemes) for document in documents for sentence in document.sentences),
                          sum(len(document.sentences) for document in documents), len(documents))
        assert seen[-1] == (tokens, tokens)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "12")
    assert one == two == {
        "text.txt": "".join("\n".join(world.sentences(document)) + "\n\n" for document in documents).encode(),
        "gold.conllu": "".join(printed(world.language, i, document).conllu for i, document in enumerate(documents, 1)).encode(),
        "gold.jsonl": "".join(printed(world.language, i, document).json for i, document in enumerate(documents, 1)).encode()}


class _Ends(Language):
    """A language that ends the process to which it is sent."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_process_that_is_ended_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "SHARE", 1000)
    world = World.of("small", stay=0.2)
    language = _Ends(world.language.grammar, world.language.lexicon, world.language.stay, world.language.longest)
    message = "^a process that writes documents was ended from outside .*; nothing was kept; --workers 1 takes less memory$"
    with pytest.raises(RuntimeError, match=message):
        saved.sampled(World(world.settings, language), tmp_path, 10_000, processes=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "says"), [
    (["the dog"], "0 times .MASK."), (["[MASK] king sees himself ."], "%  "), (["--floor", "x"], "one of them at a time"),
    (["--tokens", "0"], "at least 1"), (["--workers", "0"], "--workers must be at least 1, got 0"),
    (["--depth", "7"], "depth must be from 0 to 5"), (["--noise", "2"], "share from 0 to 1"),
    (["the kimg [MASK] ."], "no word of this language, as king"), (["--tokens", "20"], " .\n")])
def test_the_command_answers_or_says_what_is_wrong(arguments, says, capsys):
    code = main(["world", "--size", "small", *arguments])
    out, err = capsys.readouterr()
    assert re.search(says, out + err)
    assert "Traceback" not in err
    assert code == (2 if err else 0)


def test_the_world_is_a_corpus(monkeypatch):
    monkeypatch.setattr(corpora, "WORLD_TOKENS", 2000)
    corpus = corpora.read("world-small")
    world = World.of("small")
    assert corpus.documents == [world.sentences(document) for document in world.documents(2000)]
    assert corpus.words == tuple(world.words)
    assert corpus.name == "world-small"
    assert corpora.read(["world-small", "world"]).words == ()


@pytest.mark.parametrize(("size", "below"), [("small", 2), ("full", 3)])
def test_the_floor_lies_below_frequencies_and_near_the_entropy(size, below):
    world = World.of(size)
    found = world.floor(400)
    assert found.best < found.unigram - below < found.uniform
    assert abs(found.best - found.entropy) < 5 * found.error
    assert found.targets >= 400
    assert "best possible loss" in str(found)


def test_the_exact_loss_lies_between_what_is_told_and_what_one_sentence_shows():
    world = World.of("small")
    told, exact, alone = world.bracket(120, room=40)
    assert told < exact < alone


def test_facts_widen_the_bracket_and_the_command_says_so(monkeypatch, capsys):
    monkeypatch.setattr(World, "bracket", lambda world, seed, few=World.bracket: few(world, 40, room=40, seed=seed))
    monkeypatch.setattr(World, "floor", lambda world, seed: "…")
    assert main(["world", "--size", "small", "--facts", "10", "--floor"]) == 0
    low, high = map(float, re.search(r"lies between (\S+) and (\S+) nats", capsys.readouterr().out).groups())
    assert low < high


def test_a_floor_of_the_texts_that_a_model_saw():
    world, rng = World.of("small"), np.random.default_rng(0)
    texts = [words for _, words in zip(range(20), world.texts(30, 2))]
    pairs = [corrupt(words, world.words, rng) for words in texts]
    seen, truth = [seen for seen, _ in pairs], [words for _, words in pairs]
    found = world.floor_of(seen, truth, texts)
    losses = [-np.log(world.posterior(text.words, [place], text.chosen)[0][world.words.index(word)])
              for text, words in pairs for place, word in zip(text.targets, words)]
    assert found.best == pytest.approx(np.mean(losses), rel=1e-12)


def test_an_example_of_training_is_read_as_it_is():
    tokens = ["[CLS]", "the", MASK, ".", "[SEP]", "no", "dog", "sleeps", ".", "[SEP]"]
    assert Seen.of_example(tokens, [2, 6]) == Seen(["the", MASK, ".", "[SEP]", "no", "dog", "sleeps", "."], [1, 5], 2)
