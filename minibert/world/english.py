"""The grammar and the words of the generated language, a small English: tables, which ``grammar.py`` and ``lexicon.py`` read."""

from __future__ import annotations

#: Values of the variables of GRAMMAR, with the priors of those that a symbol draws.
FEATURES = {
    "a": {"same": 0.27, "other": 0.17, "neut": 0.26, "many": 0.30},  # the protagonist's gender, the other, none; plural
    "n": {"sg": 0.6, "pl": 0.4},
    "f": {"sg": 1.0, "pl": 1.0, "base": 1.0},  # form of a verb
    "l": {"free": 1.0, "lic": 1.0},  # may polarity items stand here?
}

GRAMMAR = """
text              60             clause.free* end/punct
text               7             cond/advcl comma/punct clause.free* end/punct
text               5             clause.free* sub/advcl end/punct
text               4             clause.free* also/conj end/punct
text               8             does.n/aux! subj.a.D/nsubj vp.base.lic.D* ask/punct
text               2             does.n/aux! subj.a.D/nsubj self.base.a* ask/punct
text               4             who/nsubj! vp.sg.lic.D* ask/punct
text              10@facts       name.any/nsubj has* owned/obj end/punct
owned              1             num.fact/nummod noun.fact*
cond               1             if/mark! clause.lic*
sub                1             because/mark clause.free*
also               1             and/cc clause.free*

clause.l          74             subj.a.D/nsubj vp.n.l.D*
clause.l           8             subj.a.D/nsubj self.n.a*
clause.l           8             none.n/nsubj! vp.n.lic.D*
clause.l           6             subj.a.D/nsubj is.n/cop adj*
clause.l           2             subj.a.D/nsubj is.n/cop not/advmod adj*
clause.l           5@comparatives subj.a.D/nsubj is.n/cop more*
more              50             comp* than.np/obl
more              50             measure/obl comp* than.np/obl
measure            1             num/nummod unit*
than.np            1             than/case np.a.D*
none.sg           30             no/det nbar.same.0*
none.sg           30             no/det nbar.neut.0*
none.sg           20             nobody*
none.sg           20             only/advmod the/det nbar.same.0*
none.pl           60             no/det nbar.many.0*
none.pl           40             only/advmod the/det nbar.many.0*

self.f.a          90             vt.f* refl.a/obj
self.n.a          10             does.n/aux not/advmod self.base.a*
vp.f.l.d          22             vi.f*
vp.f.l.d           8             vi.f* pp.d/obl
vp.f.l.d           4             vi.f* tail.l/advmod
vp.f.l.d           4             adv.l/advmod vi.f*
vp.f.l.d           4             vi.f* vand.f.l.d/conj
vp.f.l.d          34             vt.f* obj.l.d/obj
vp.f.l.d           5             vt.f* obj.l.d/obj pp.d/obl
vp.f.l.d           6             vt.f* obj.l.d/obj tail.l/advmod
vp.f.l.d           6             adv.l/advmod vt.f* obj.l.d/obj
vp.n.l.d           9             does.n/aux not/advmod! vp.base.lic.d*
vand.f.l.d         1             and/cc vt.f* obj.l.d/obj
obj.l.d           62             np.a.d*
obj.l.d           14             pron.obj*
obj.free.d        12             some/det nbar.many.d*
obj.lic.d         28             any.lic/det nbar.many.d*

subj.a.d          62             np.a.d*
subj.same.d       40             pron*
np.a.d            60             det.n/det nbar.a.d*
np.a.d             8             pron.poss/nmod:poss nbar.a.d*
np.same.d         60             name*
np.many.d         10             num/nummod nbar.many.d*
np.many.d          8             one* two/conj
one               50             np.same.0*
one               20             np.other.0*
one               30             np.neut.0*
two                1             and/cc one*
nbar.a.d          62             noun.a*
nbar.a.d          20             adj/amod nbar.a.d*
nbar.a.d           9@attractors  noun.a* pp.d/nmod
nbar.a.d          14@relatives   noun.a* rc.a.d-/acl:relcl
pp.d              75             prep/case np.a.d*
pp.d              25             in/case place*
rc.a.d            50             that/nsubj vp.n.free.d*
rc.a.d             8             that/nsubj self.n.a*
rc.a.d            42             that/obj inv.d*
inv.d              1             subj.a.d/nsubj vt.n*
"""

#: Classes of words that are the same in every document: part of speech, words with weights.
CLOSED = {
    "end": ("PUNCT", ".:1"), "ask": ("PUNCT", "?:1"), "comma": ("PUNCT", ",:1"),
    "if": ("SCONJ", "if:1"), "because": ("SCONJ", "because:5 although:3 while:2"), "and": ("CCONJ", "and:1"),
    "that": ("PRON", "that:1"), "who": ("PRON", "who:1"), "nobody": ("PRON", "nobody:1"),
    "does.sg": ("AUX", "does:1"), "does.pl": ("AUX", "do:1"), "is.sg": ("AUX", "is:1"), "is.pl": ("AUX", "are:1"),
    "not": ("PART", "not:1"), "no": ("DET", "no:1"), "only": ("ADV", "only:1"), "the": ("DET", "the:1"),
    "some": ("DET", "some:1"), "any.lic": ("DET", "any:1"), "than": ("ADP", "than:1"), "has": ("VERB", "has:1"),
    "det.sg": ("DET", "the:55 a:30 this:8 every:7"), "det.pl": ("DET", "the:60 these:16 many:14 all:10"),
    "adv.free": ("ADV", "often:4 always:3 already:3"), "adv.lic": ("ADV", "ever:7 often:2 always:1"),
    "tail.free": ("ADV", "again:4 today:4 already:2"), "tail.lic": ("ADV", "yet:5 anymore:3 again:1 today:1"),
    "prep": ("ADP", "near:4 behind:3 with:3 under:2 beside:2"), "in": ("ADP", "in:1"),
    "num": ("NUM", "two:6 three:5 four:4 five:3 six:2 seven:2 eight:1 nine:1"),
    "num.fact": ("NUM", "two:1 three:1 four:1 five:1 six:1 seven:1 eight:1 nine:1"),
    "unit": ("NOUN", "years:3 months:2 days:1"), "comp": ("ADJ", "older:3 taller:2 stronger:2 quicker:1"),
    "refl.neut": ("PRON", "itself:1"), "refl.many": ("PRON", "themselves:1"),
}

#: Classes of words that follow the protagonist's gender: part of speech, the man's word, the woman's.
GENDERED = {
    "pron": ("PRON", "he", "she"), "pron.obj": ("PRON", "him", "her"), "pron.poss": ("PRON", "his", "her"),
    "refl.same": ("PRON", "himself", "herself"), "refl.other": ("PRON", "herself", "himself"),
}

NAMES = ("Adam Boris Carl David Emil Felix Georg Henry Ivan Jonas Karim Louis Martin Nils Oscar Pablo Simon Thomas Viktor Walter",
         "Anna Berta Clara Dora Emma Frida Greta Helen Irene Julia Karin Laura Maria Nora Olga Paula Rosa Sofia Tina Vera")

#: People whom every topic knows: words for men, for women, each beside the other's.
PEOPLE = "man woman boy girl king queen uncle aunt father mother brother sister prince princess son daughter waiter waitress"
IRREGULAR = {"man": "men", "woman": "women", "child": "children", "wolf": "wolves", "knife": "knives"}

#: topic -> things; people by their work (with the share of men in a world that is as skewed as can be); verbs with and without an
#: object; adjectives; places. A word that stands in two places is a homograph.
TOPICS = {
    "sea": ("boat bank net seal shell wave anchor harbour rope whale", "sailor:.9 diver:.6 captain:.8 pilot:.7",
            "net steer sink anchor rescue", "sail swim drift dive", "salty deep wet calm", "Genoa Lisbon Bergen"),
    "farm": ("cow plant hen barn goat tractor fence horse plough pond", "farmer:.8 shepherd:.7 gardener:.4 weaver:.1",
             "plant feed milk fence plough", "graze dig harvest wake", "green muddy rural tame", "Kansas Parma Tver"),
    "school": ("book watch lesson desk pencil letter test bell map poem", "teacher:.2 pupil:.5 student:.5 scholar:.6",
               "watch teach test question copy", "learn study listen whisper", "clever strict young curious",
               "Oxford Bologna Leiden"),
    "city": ("bus bank tower street train bridge shop taxi light park", "banker:.8 driver:.8 clerk:.3 tailor:.6",
             "park guard cross light push", "hurry wait commute shop", "busy loud rich narrow", "Paris Tokyo London"),
    "music": ("song note bow violin drum flute concert piano tune stage", "singer:.4 dancer:.2 drummer:.8 composer:.7",
              "tune hear record stage praise", "sing dance play clap", "loud gentle famous bright", "Vienna Salzburg Leipzig"),
    "forest": ("bear bat tree fox wolf mushroom nest owl track bush", "hunter:.9 ranger:.7 guide:.5 painter:.5",
               "hunt track climb guide chase", "howl hide roam nest", "wild dark old quiet", "Oulu Kiruna Banff"),
    "kitchen": ("plate spoon cake pan soup oven knife bowl seed fork", "cook:.4 baker:.6 nurse:.1 butcher:.9",
                "plate cook stir taste seed", "bake eat chew drink", "sweet hot fresh sour", "Lyon Naples Modena"),
    "sport": ("bat ball race goal cup bow net medal whistle team", "runner:.5 boxer:.9 coach:.7 referee:.7",
              "beat coach kick race throw", "run win train jump", "fast strong tired proud", "Athens Berlin Seoul"),
}
#: What belongs to no topic.
COMMON = ("dog cat house table window child", "doctor:.7 lawyer:.6 neighbour:.5 friend:.5", "see like find follow help",
          "sleep smile laugh leave", "big small good new", "")

#: How many words of each kind a topic has, for each thing; the order of the columns of TOPICS and COMMON.
SHARES = {"thing": 1.0, "people": 0.8, "vt": 0.5, "vi": 0.4, "adj": 0.4, "place": 0.3}

LEMMAS = {"does": "do", "is": "be", "are": "be", "has": "have", "these": "this", "older": "old", "taller": "tall",
          "stronger": "strong", "quicker": "quick", "years": "year", "months": "month", "days": "day", "him": "he", "his": "he",
          "himself": "he", "her": "she", "herself": "she", "itself": "it", "themselves": "they"}

#: Adjectives that speak well of a thing; all others speak ill of it.
PRAISE = frozenset("deep calm green rural tame clever young curious rich gentle famous bright quiet sweet fresh fast strong "
                   "proud good new".split())
