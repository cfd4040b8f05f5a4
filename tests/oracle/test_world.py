"""The gold of the generated language is CoNLL-U, as a reader of it sees it."""

import pytest

from minibert.world import World
from minibert.world.printed import printed

conllu = pytest.importorskip("conllu")


@pytest.mark.parametrize("size", ["small", "full"])
def test_conllu_reads_it(size):
    world = World.of(size)
    documents = list(world.documents(3000))
    text = "".join(printed(world.language, number, document).conllu for number, document in enumerate(documents))
    read = iter(conllu.parse(text))
    for number, document in enumerate(documents):
        for order, words in enumerate(world.gold(document), start=1):
            sentence = next(read)
            assert sentence.metadata["sent_id"] == f"{number}-{order}"
            assert sentence.metadata["text"] == " ".join(words.form)
            assert [token["id"] for token in sentence] == list(range(1, len(words.form) + 1))
            for key, column in (("form", words.form), ("lemma", words.lemma), ("upos", words.upos), ("xpos", words.category),
                                ("head", words.head), ("deprel", words.relation)):
                assert [token[key] for token in sentence] == column
            assert [(token["feats"] or {}).get("Number", "") for token in sentence] == words.number
            assert [(token["feats"] or {}).get("Gender", "") for token in sentence] == words.gender
            for key, column in (("Chunk", words.chunk), ("Sense", words.sense), ("Entity", words.entity),
                                ("Antecedent", words.antecedent), ("Scope", words.scope)):
                assert [token["misc"].get(key, "") for token in sentence] == column
            tree = sentence.to_tree()
            assert tree.token["id"] == words.head.index(0) + 1
    assert next(read, None) is None
