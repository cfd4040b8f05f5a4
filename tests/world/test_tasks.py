"""Examples of tasks: right, balanced, not to be seen from the words alone, and read by ``finetune`` as they are."""

import json
from collections import Counter

import numpy as np
import pytest

from minibert.finetuning.options import Settings
from minibert.tasks.labelled import TASKS
from minibert.world import Seen, World, noise, task_files, tasks
from minibert.world.english import PRAISE
from minibert.world.maker import Flaws


@pytest.fixture(scope="module")
def world():
    return World.of("full")


def bag_of_words(train, test, labels, texts):
    """Accuracy of a linear classifier on which words the texts have, each text with weights of its own."""
    words = sorted({word for row in train for text in texts for word in row[text].split()})
    index = {word: i for i, word in enumerate(words)}

    def features(rows):
        x = np.zeros((len(rows), len(texts), len(words)))
        for row, values in zip(rows, x):
            for text, value in zip(texts, values):
                for word in row[text].split():
                    if word in index:
                        value[index[word]] += 1
        return x.reshape(len(rows), -1)

    x, y = features(train), np.array([labels.index(row["label"]) for row in train])
    weight = np.zeros((x.shape[1], len(labels)))
    for _ in range(200):
        p = np.exp(x @ weight)
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        weight -= 0.1 * (x.T @ p / len(y) + 1e-3 * weight)
    return float(np.mean([labels[i] == row["label"] for i, row in zip((features(test) @ weight).argmax(1), test)]))


@pytest.mark.parametrize(("name", "classes"), [("sentiment", tasks.SENTIMENT), ("nli", tasks.INFERENCE), ("choice", range(4))])
def test_labels_are_balanced_within_two_percent(name, classes, world):
    n = 6000  # a share has a standard error of 0.65 % or less
    shares = Counter(row["label"] for row in task_files.rows(world.language, name, "train", n))
    assert sorted(shares) == sorted(classes)
    assert all(abs(count / n - 1 / len(classes)) < 0.02 for count in shares.values()), shares


def test_a_bag_of_words_does_not_see_what_follows(world):
    train, test = task_files.rows(world.language, "nli", "train", 2000), task_files.rows(world.language, "nli", "test", 600)
    assert bag_of_words(train, test, sorted(tasks.INFERENCE), ("premise", "hypothesis")) <= 0.6


def test_what_is_praised_and_what_is_not(world):
    rows = task_files.rows(world.language, "sentiment", "train", 400)
    for row in rows:
        words = row["text"].split()
        at = next(i for i, word in enumerate(words) if word == "is")
        denied = words[at + 1] == "not"
        assert row["label"] == ("positive" if (words[at + 1 + denied] in PRAISE) != denied else "negative"), row


def test_answers_stand_where_they_say_and_supporting_sentences_hold_them(world):
    rows = task_files.rows(world.language, "qa", "train", 300)
    for row in rows:
        asked = row["qas"][0]
        fact = asked["question"].removeprefix("who ").removesuffix(" ?")
        assert asked["is_impossible"] == (fact not in row["context"])
        for answer in asked["answers"]:
            assert row["context"][answer["answer_start"]:].startswith(f"{answer['text']} {fact}")
            sentences = row["context"].split(" . ")
            assert fact in sentences[asked["supporting"][0]]
    assert 0.1 < np.mean([row["qas"][0]["is_impossible"] for row in rows]) < 0.3


def test_one_choice_is_true_and_artefacts_are_dialled(world):
    for row in task_files.rows(world.language, "choice", "train", 200, flaws=Flaws(artefacts=1.0)):
        true = [choice in row["context"] for choice in row["choices"]]
        assert true == [i == row["label"] for i in range(4)]
        assert [choice.endswith("again .") for choice in row["choices"]] == [i != row["label"] for i in range(4)]
    for row in task_files.rows(world.language, "choice", "train", 50):
        assert "again" not in str(row)
        halves = [choice.split(" has ") for choice in row["choices"]]
        assert all(sorted(Counter(half).values()) == [2, 2] for half in zip(*halves))  # they alone do not say which


def labels(path, content):
    """The labels of a file, one by one, and what is left of it without them."""
    if path.startswith("qa"):
        asked = [row["qas"][0] for row in json.loads(content)["data"][0]["paragraphs"]]
        return [str(one["answers"]) for one in asked], content.count("question")
    if path.startswith("choice"):
        rows = [json.loads(line) for line in content.splitlines()]
        return [row.pop("label") for row in rows], rows
    if path.startswith("names"):
        lines = [line.rsplit(" ", 1) for line in content.split("\n") if line]
        return [tag for _, tag in lines], [word for word, _ in lines]
    rows = [line.split("\t") for line in content.splitlines()]
    if path.startswith("pairs"):
        return [row[0] for row in rows[1:]], [sorted(row) for row in rows]
    return [row[-1] for row in rows[1:]], [row[:-1] for row in rows]


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_dial_of_noise_is_the_share_of_wrong_labels_of_every_file_to_train_on(share, world):
    plain, noisy = (dict(task_files.files(world.language, 3, Flaws(noise=dial), 0.5)) for dial in (0.0, share))
    assert plain.keys() == noisy.keys()
    changed = {path for path in plain if plain[path] != noisy[path]}
    assert changed == {path for path in plain if "/train." in path}
    assert {path.split("/")[0] for path in changed} == task_files.WRONG.keys()
    for path in changed:
        (truth, rest), (said, same) = labels(path, plain[path]), labels(path, noisy[path])
        n = len(truth)
        assert rest == same
        assert n == len(said) >= 1000
        assert abs(np.mean([a != b for a, b in zip(truth, said)]) - share) <= 4 * np.sqrt(share * (1 - share) / n), path


def test_wrong_labels_are_drawn_evenly_from_the_others():
    rng = np.random.default_rng(0)
    drawn = Counter(noise.other("abcd", "b", rng) for _ in range(3000))
    assert drawn.keys() == set("acd")
    assert max(drawn.values()) < 1100
    wrong = noise.one_of_many(["if", "and", "not"])
    assert {wrong({"label": label}, rng)["label"] for label in ["and"] * 50} == {"", "if|and", "and|not"}
    assert {wrong({"label": ""}, rng)["label"] for _ in range(50)} == {"if", "and", "not"}


def test_a_wrong_answer_is_another_name_of_the_passage(world):
    plain, noisy = (task_files.rows(world.language, "qa", "train", 200, flaws=Flaws(noise=dial)) for dial in (0.0, 1.0))
    for truth, row in zip(plain, noisy):
        asked, (answer,) = row["qas"][0], row["qas"][0]["answers"]
        assert row["context"] == truth["context"]
        assert not asked["is_impossible"]
        assert answer["text"] not in [right["text"] for right in truth["qas"][0]["answers"]]
        assert row["context"][answer["answer_start"]:].startswith(f"{answer['text']} has ")
        assert row["context"].split(" . ")[asked["supporting"][0]].startswith(f"{answer['text']} has ")


def test_noise_leaves_the_other_splits_and_the_texts_as_they_are(world):
    for split, changed in (("train", True), ("test", False)):
        plain, noisy = (task_files.rows(world.language, "nli", split, 300, flaws=Flaws(noise=dial)) for dial in (0.0, 0.5))
        assert [row["premise"] for row in plain] == [row["premise"] for row in noisy]
        assert (plain != noisy) == changed


@pytest.mark.parametrize("split", ["train", "new_structures"])
def test_pairs_differ_at_one_place_and_the_language_has_only_the_good_one(split, world):
    rows = task_files.rows(world.language, "pairs", split, 60)
    assert len(Counter(row["phenomenon"] for row in rows)) == 3
    for row in rows:
        good, bad = row["good"].split(), row["bad"].split()
        different = [i for i, (a, b) in enumerate(zip(good, bad)) if a != b]
        assert len(good) == len(bad)
        assert len(different) == 1
        place = different[0]
        p = world.posteriors([Seen([*good[:place], "[MASK]", *good[place + 1:]], [place], single=True)])[0][0]
        assert p[world.words.index(good[place])] > 0
        assert p[world.words.index(bad[place])] == 0, row


@pytest.mark.parametrize("name", sorted(task_files.TASKS))
def test_splits_have_what_they_are_for(world, name):
    def seen(split):
        return " ".join(str(row) for row in task_files.rows(world.language, name, split, 150))

    train, words = seen("train"), seen("new_words")
    assert " that " not in train
    known, new = ({word for word in text.replace("'", " ").split() if word in world.words} for text in (train, words))
    assert new - known
    assert all(" that " in str(row) for row in task_files.rows(world.language, name, "new_structures", 150))


@pytest.mark.parametrize("size", ["small", "full"])
def test_templates_have_splits_and_the_share_of_men_that_the_language_has(size):
    world = World.of(size)
    found = task_files.templates(world.language)
    assert [*found] == ["test", "new_words", "new_structures", "out_of_domain"]
    works = {split: [row["work"] for row in rows] for split, rows in found.items()}
    assert works["new_structures"] == works["test"]
    apart = [*works["test"], *works["new_words"], *works["out_of_domain"]]
    assert len(apart) == len({*apart})
    for split, rows in found.items():
        for row in rows:
            assert (" that " in row["man"]) == (split == "new_structures")
            assert row["woman"] == row["man"].replace("himself", "herself")
            p = dict(world.guess(row["man"].replace("himself", "[MASK]"), len(world.words)))
            assert p["himself"] / (p["himself"] + p["herself"]) == pytest.approx(float(row["men"]), abs=5.1e-4), row


def test_no_example_stands_in_two_splits(world):
    seen = {}
    for path, content in task_files.files(world.language, share=0.1):
        folder, lines = path.split("/")[0], content.splitlines()[1:]
        if folder in ("sentiment", "nli", "similarity", "constructions"):
            assert seen.setdefault(folder, set()).isdisjoint(lines), path
            seen[folder].update(lines)
    assert len(seen) == 4


def test_every_file_is_read_by_its_task(world, tmp_path):
    by_file = {"sentiment": "classify", "nli": "classify", "qa": "qa", "choice": "choice", "similarity": "regress",
               "names": "tag", "constructions": "multi_label"}
    read = Counter()
    for path, content in task_files.files(world.language, share=0.02):
        folder, name = path.split("/")
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / path).write_text(content, encoding="utf-8")
        if task := by_file.get(folder):
            module = TASKS[task]
            settings = Settings(task="classify" if task == "multi_label" else task, multi_label=task == "multi_label")
            found = module.read(tmp_path / path, settings)
            assert len(found.examples) == max(1, round(0.02 * task_files.SPLITS[name.split(".")[0]])), path
            read[folder] += 1
    assert read == {folder: len(task_files.SPLITS) for folder in by_file}


@pytest.mark.parametrize(("dials", "without"), [({"depth": 0}, ["new_structures"]), ({"relatives": 0.0}, ["new_structures"]),
                                                ({"topics": 1}, ["out_of_domain"])])
def test_a_split_that_a_language_has_no_sentences_for_has_no_files(dials, without):
    written = dict(task_files.files(World.of("small", **dials).language, share=0.01))
    for task in ("names", "constructions", "bias"):
        splits = {path.split("/")[1].split(".")[0] for path in written if path.startswith(task)}
        assert splits == set(task_files.SPLITS) - set(without) - ({"train", "dev"} if task == "bias" else set())
