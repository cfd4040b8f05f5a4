"""A generated language whose truth is known: a small English, with gold for every word and the best possible guess for any
hidden one.

::

    from minibert import world

    w = world.World.of("full")
    for document in w.documents(200): print(*w.sentences(document))
    w.guess("the [MASK] that the dogs see likes herself .")      # [("woman", 0.04), …]

Exact, with topic and protagonist summed out: agreement, relative clauses within one another, questions, conditionals, polarity
items, reflexives, homographs, the topic, the protagonist's name and pronouns; several hidden words at once, and under the
80/10/10 of training. Not exact: facts that stay true for a whole document (the dial ``facts``, off by itself): they have gold
labels, and ``World.bracket`` says between which losses the best one lies.
"""

from minibert.world.floor import Floor
from minibert.world.language import SIZES, Settings
from minibert.world.seen import MASK, SEP, Seen
from minibert.world.world import World

__all__ = ["MASK", "SEP", "SIZES", "Floor", "Seen", "Settings", "World"]
