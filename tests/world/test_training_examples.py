"""What training reads is what the posterior assumes: packed sentences, documents joined by [SEP], and its own masking."""

import numpy as np

from minibert.tasks.corruption import masking
from minibert.tasks.segments.full_sentences import packed
from minibert.text import Tokenizer, Vocabulary
from minibert.world import SEP, Seen, World
from minibert.world.saved import SPECIAL


def test_the_floor_of_training_examples_is_the_entropy_of_their_posteriors():
    world = World.of("small")
    tokenizer = Tokenizer(Vocabulary((*SPECIAL, *world.words)), lower_case=False)
    documents = [[tokenizer.ids(sentence) for sentence in world.sentences(document)] for document in world.documents(3000, 8)]
    rule = masking.rule(tokenizer)
    examples = [masking.mask_example(example, rule, (0, 0, number))
                for number, example in enumerate(packed(documents, tokenizer, max_length=50, seed=0))]
    tokens = tokenizer.vocab.tokens
    seen = [Seen.of_example([tokens[i] for i in example.ids], example.positions) for example in examples]
    assert sum(SEP in text.words for text in seen) > len(seen) / 3, "documents meet in one example"
    p = np.concatenate(world.posteriors(seen))
    truth = np.concatenate([example.labels for example in examples]) - len(SPECIAL)
    loss = -np.log(p[np.arange(len(p)), truth])
    more = loss + (p * np.log(np.where(p > 0, p, 1))).sum(1)
    assert len(p) > 400
    assert abs(more.mean()) < 3 * more.std() / len(more) ** 0.5
