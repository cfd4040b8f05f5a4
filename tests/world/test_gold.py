"""Sampled documents are what the grammar promises, and their gold is right."""

import json
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from minibert.world import World
from minibert.world.documents import AT_ONCE, batch
from minibert.world.documents import sentences as skeletons
from minibert.world.language import Language
from minibert.world.lexicon import GENDERS, Lexicon
from minibert.world.printed import printed

COUNT = 20_000


@pytest.fixture(scope="module", params=["small", "full"])
def sampled(request):
    """A world, and (document, gold of its sentences) of some documents."""
    world = World.of(request.param)
    return world, [(document, world.gold(document)) for document in world.documents(COUNT)]


def sentences(sampled):
    for document, words in sampled[1]:
        yield from zip(document.sentences, words)


def test_a_seed_gives_the_same_documents_and_more_words_more_of_them():
    world = World.of("small")
    few, many = (list(map(world.sentences, world.documents(n, seed=5))) for n in (500, 5000))
    assert many[:len(few)] == few
    assert len(many) > len(few)
    assert sum(len(text.split()) for document in few for text in document) >= 500
    assert few != list(map(world.sentences, world.documents(500, seed=6)))


def test_a_batch_is_drawn_for_itself():
    world = World.of("small")
    third = batch(world.language, 5, 2)
    drawn = list(islice(world.documents(10**6, seed=5), 2 * AT_ONCE, 3 * AT_ONCE))
    assert list(map(world.sentences, drawn)) == list(map(world.sentences, third))


def test_trees_are_projective_with_one_root(sampled):
    for sentence, words in sentences(sampled):
        assert words.head.count(0) == 1
        assert words.relation.count("root") == 1
        for word, head in enumerate(words.head, start=1):
            ends = min(word, head), max(word, head)
            inside = [words.head[other - 1] for other in range(ends[0] + 1, ends[1]) if head]
            assert all(ends[0] <= other <= ends[1] for other in inside), sentence.skeleton.tree
            path = [word]
            while path[-1]:
                path.append(words.head[path[-1] - 1])
                assert len(path) <= len(words.head) + 1, "a circle"


def test_subjects_agree_with_what_is_said_of_them(sampled):
    checked = Counter()
    number = {"does": "Sing", "is": "Sing", "do": "Plur", "are": "Plur"}
    for _, words in sentences(sampled):
        for subject, relation in enumerate(words.relation):
            if relation != "nsubj" or words.form[subject] in ("that", "who"):
                continue
            head = words.head[subject]
            finite = [number[words.form[i]] for i, (h, r) in enumerate(zip(words.head, words.relation))
                      if h == head and r in ("aux", "cop") and words.form[i] in number] or [words.number[head - 1]]
            plural = words.number[subject] == "Plur" or any(
                h == subject + 1 and r == "conj" for h, r in zip(words.head, words.relation))
            assert finite == ["Plur" if plural else "Sing"], " ".join(words.form)
            checked[plural] += 1
    assert min(checked.values()) > 300


def test_reflexives_agree_with_their_antecedents(sampled):
    checked = Counter()
    for _, words in sentences(sampled):
        for i, category in enumerate(words.category):
            if category.startswith("refl"):
                antecedent = int(words.antecedent[i].split(":")[1]) - 1
                expected = {"Masc": "himself", "Fem": "herself", "Neut": "itself"}.get(words.gender[antecedent], "themselves")
                if words.number[antecedent] == "Plur" or any(
                        h == antecedent + 1 and r == "conj" for h, r in zip(words.head, words.relation)):
                    expected = "themselves"
                assert words.form[i] == expected, " ".join(words.form)
                checked[expected] += 1
    assert len(checked) == 4


def test_polarity_items_stand_in_the_scope_of_their_licensor(sampled):
    found = Counter()
    for _, words in sentences(sampled):
        for i, category in enumerate(words.category):
            assert (words.licensor[i] > 0) == (".lic" in category)
            if words.licensor[i]:
                licensor = words.licensor[i] - 1
                assert words.form[licensor] in ("not", "no", "nobody", "only", "if", "who", "does", "do"), " ".join(words.form)
                first, last = map(int, words.scope[licensor].split("-"))
                assert first <= i + 1 <= last, " ".join(words.form)
                found[words.form[i]] += 1
            assert words.form[i] != "any" or words.licensor[i]
    assert found["any"] > 20
    assert found["ever"] > 20


def test_relative_clauses_go_as_deep_as_the_dial_says(sampled):
    deepest = max(max(words.depth) for _, words in sentences(sampled))
    assert deepest == sampled[0].settings.depth


def test_the_protagonist_stays_the_same_and_pronouns_stand_for_nobody_else(sampled):
    world, documents = sampled
    for document, words in documents:
        name, gender = world.language.lexicon.names[document.name]
        last = ""
        for order, sentence in enumerate(words, start=1):
            assert {form for form, c in zip(sentence.form, sentence.category) if c == "name"} <= {name}
            for i, (entity, category) in enumerate(zip(sentence.entity, sentence.category), start=1):
                if category.startswith("pron"):
                    assert entity == name
                    assert sentence.gender[i - 1] == ("Masc", "Fem")[gender]
                if entity:
                    assert sentence.antecedent[i - 1] == last
                    last = f"{order}:{i}"


def test_chunks_are_well_formed(sampled):
    for _, words in sentences(sampled):
        for before, chunk in zip(["O", *words.chunk], words.chunk):
            assert chunk[0] != "I" or before[2:] == chunk[2:]
    *_, (_, words) = sentences(sampled)
    assert len(words.chunk) == len(words.form)


def test_rules_and_words_are_as_frequent_as_they_say(sampled):
    world, documents = sampled
    topics, share = Counter(document.topic for document, _ in documents), 1 / len(world.language.lexicon.topics)
    assert all(abs(n / len(documents) - share) < 4 * (share / len(documents)) ** 0.5 for n in topics.values())
    rng = np.random.default_rng(0)
    grammar = world.language.grammar
    ends = Counter(skeleton.classes[-1] for skeleton in skeletons(world.language, rng, 6000))
    asked = sum(grammar.rules[i].p for i in grammar.of["text"] if grammar.rules[i].children[-1] == "ask")
    assert abs(ends["ask"] / 6000 - asked) < 0.02
    the = [i for i in world.language.lexicon.members["det.sg"] if world.language.lexicon.lexemes[i].form == "the"]
    drawn = Counter(i for document in world.documents(80_000) for sentence in document.sentences
                    for i, c in zip(sentence.lexemes, sentence.skeleton.classes) if c == "det.sg")
    assert abs(drawn[the[0]] / drawn.total() - world.language.lexicon.weight[the[0], 0, 0]) < 0.02


def test_senses_tell_homographs_apart(sampled):
    senses = {}
    for _, words in sentences(sampled):
        for form, sense, upos in zip(words.form, words.sense, words.upos):
            if sense:
                assert sense.split(".")[1] == upos
                senses.setdefault(form, set()).add(sense)
    assert sum(len(found) > 1 for found in senses.values()) >= 2


def test_facts_stay_true():
    world = World.of("full", facts=3.0)
    facts, told = {}, 0
    for number, document in enumerate(world.documents(20_000)):
        for words in world.gold(document):
            if words.fact[0]:
                owner, rest = words.fact[0].split(" ", 1)
                told += (number, owner) in facts
                assert facts.setdefault((number, owner), rest) == rest
    assert told > 20
    assert not world.language.exact


def test_conllu_and_json_lines_say_the_same(sampled):
    world, documents = sampled
    for number, (document, words) in enumerate(islice(documents, 50)):
        read = json.loads(printed(world.language, number, document).json)
        blocks = printed(world.language, number, document).conllu.strip().split("\n\n")
        assert len(blocks) == len(read["sentences"]) == len(words)
        for block, sentence, right in zip(blocks, read["sentences"], words):
            rows = [line.split("\t") for line in block.split("\n") if not line.startswith("#")]
            assert [row[1] for row in rows] == sentence["text"].split() == right.form
            assert [int(row[6]) for row in rows] == sentence["head"] == right.head
            assert [row[7] for row in rows] == sentence["relation"]
            assert [f"Chunk={chunk}" for chunk in sentence["chunk"]] == [row[9].split("|")[0] for row in rows]


@pytest.mark.parametrize("world", [World.of("small"), World.of("full", facts=5.0)], ids=["small", "facts"])
@pytest.mark.parametrize("names", [None, ["Zoë", 'O"Neil', "back\\slash", "100%"]], ids=["names", "odd names"])
def test_json_lines_are_what_python_writes(world, names):
    language, lexicon = world.language, world.language.lexicon
    if names:
        rows = [lexeme._replace(form=names[i % 4], lemma=names[-i % 4]) if lexeme.category.startswith("name") else lexeme
                for i, lexeme in enumerate(lexicon.lexemes)]
        language = Language(language.grammar, Lexicon(lexicon.topics, rows, lexicon.weight), language.stay, language.longest)
        world = World(world.settings, language)
    for number, document in enumerate(world.documents(3000)):
        name, gender = language.lexicon.names[document.name]
        sentences = [{"text": text, "derivation": sentence.skeleton.tree,
                      **{key: column for key, column in words._asdict().items() if any(column)}}
                     for text, sentence, words in zip(world.sentences(document), document.sentences, world.gold(document))]
        assert printed(language, number, document).json == json.dumps(
            {"id": number, "topic": lexicon.topics[document.topic], "protagonist": name, "gender": GENDERS[gender],
             "sentences": sentences}, separators=(",", ":")) + "\n"
