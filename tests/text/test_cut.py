import json
import re

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

import minibert
from minibert.cli import main
from minibert.text import Tokenizer, Vocabulary, learn
from minibert.text.cut import LONGEST, WINDOW, Cut
from minibert.text.vocabulary import SPECIAL
from tests import tiny_model

SMILES = r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>>?|\*|\$|\%[0-9]{2}|[0-9])"
MOLECULES = ["CC(=O)Oc1ccccc1C(=O)O", "ClCCBr.[Na+]", "C%12CCC#N>>CCO", "C[C@@H](N)C(=O)O"]
TOKENS = [*SPECIAL, "C", "c", "O", "N", "(", ")", "=", "1", "Cl", "Br", "[Na+]", "[C@@H]", ".", ">>", "#", "##C"]


@pytest.fixture
def smiles():
    return Tokenizer(Vocabulary(TOKENS), lower_case=False, cut=SMILES)


def test_an_expression_finds_the_words():
    cut = Cut(SMILES)
    for text in MOLECULES:
        assert cut(text) == [match[0] for match in re.finditer(SMILES, text)]
        assert "".join(cut(text)) == text
    assert Cut("characters")("MKV") == ["M", "K", "V"]
    assert Cut("[A-Z][a-z]?")("NaClxxO??") == ["Na", "Cl", "xx", "O", "??"]  # what does not match is lost nowhere
    assert Cut("x*|b")("axxb") == ["a", "xx", "b"]  # an empty match is none
    assert [len(word) for word in Cut("a+")("a" * 250)] == [WINDOW, WINDOW, 250 - 2 * WINDOW]


@pytest.mark.parametrize(("rule", "message"), [
    ("(", "cut: .* is no regular expression: missing"),
    ("(" * 450 + "a" + ")" * 450 + "(", "cut: .* is no regular expression"),
    ("", "cut must be 'characters' or a regular expression, found ''"),
    ("a" * (LONGEST + 1), "has 1,001 characters; at most 1,000 are read"),
    ("(a+)+", "in too many ways, which can take forever; give its repeats an upper bound"),
    ("(ab|cd)*", "in too many ways"),
    ("a*b*c*", "in too many ways"),
    ("(?=a+b+c+)d", "in too many ways"),
    ("(ab|cd){4000000000}", "in too many ways"),
    ("(aa|a{30}){20}", "in too many ways"),
    ("(a?)*", "repeats what may be empty"),
    ("(){9999}", "repeats what may be empty"),
    (r"(a)\1", "refers back to a group"),
    ("(a)?(?(1)b|c)", "refers back to a group"),
    ("(?i)[a-z]", "sets flags"),
    ("(?i:a)", "sets flags"),
])
def test_what_may_take_forever_is_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        Cut(rule)


@pytest.mark.parametrize("rule", [SMILES, ".", "...", "[A-Z][a-z]?|.", r"\d+(\.\d+)?|\S", r"\w+|\W", "(?<=a)b|.",
                                  "(?:[A-Z][a-z])+", "(?:ab|a)(?:c|bcd)d*", "a{1,70000}", "^[0-9]{1,9}-[0-9]{1,9}$|."])
def test_what_is_bounded_is_taken(rule):
    assert "".join(Cut(rule)("ab1.5NaCl?")) == "ab1.5NaCl?"


def test_the_vocabulary_decides(smiles):
    encoding = smiles.encode("ClCC(=O)[Na+] Br[Mg]Q")
    assert encoding.tokens[1:-1] == ["Cl", "C", "C", "(", "=", "O", ")", "[Na+]", "Br", "[UNK]", "[UNK]"]
    assert encoding.ids[1:-1] == smiles.ids("ClCC(=O)[Na+] Br[Mg]Q")
    assert [("ClCC(=O)[Na+] Br[Mg]Q")[start:end] for start, end in encoding.offsets[1:-1]] == [
        "Cl", "C", "C", "(", "=", "O", ")", "[Na+]", "Br", "[Mg]", "Q"]
    assert encoding.words[1:-1] == list(range(11))
    assert smiles.decode(encoding.ids[:9]) == "ClCC(=O)[Na+]"
    assert smiles.decode(smiles.ids("C##C")) == "C##C"


def test_a_special_token_in_the_text_is_one_only_where_it_may_be(smiles):
    mask = smiles.vocab.mask_id
    assert smiles.ids("C[MASK]C", special_tokens=True)[1] == mask
    assert smiles.encode("C[MASK]C").offsets[2] == (1, 7)
    assert smiles.ids("C[MASK]C") == smiles.encode("C[MASK]C", special_tokens=False).ids[1:-1] == [5, smiles.vocab.unk_id, 5]


LETTERS = st.sampled_from("CcBrlN[]@+-=()#%1 \t\u00e9\u0130\u03a3\u4e2d\x00\u2028") | st.just("[MASK]") | st.characters()


@given(st.lists(LETTERS, max_size=30).map("".join), st.booleans())
@hypothesis(max_examples=300, deadline=None, derandomize=True)
def test_both_ways_through_the_tokenizer_agree_and_offsets_slice_back(text, lower_case):
    for rule in (SMILES, "characters", "..", "(?<=C)c|[A-Z][a-z]?"):
        tokenizer = Tokenizer(Vocabulary(TOKENS), lower_case=lower_case, cut=rule)
        encoding = tokenizer.encode(text, special_tokens=False)
        assert encoding.ids[1:-1] == tokenizer.ids(text)
        assert all(start < end for start, end in encoding.offsets[1:-1])
        assert not set(encoding.ids[1:-1]) & {tokenizer.vocab.mask_id, tokenizer.vocab.pad_id}
        for token, (start, end) in zip(encoding.tokens[1:-1], encoding.offsets[1:-1]):
            if token != "[UNK]":
                assert tokenizer.method.normalizer.whole(text[start:end]) == token.removeprefix("##")


def test_letters_are_lowered_where_that_is_asked_for():
    dna = Tokenizer(Vocabulary([*SPECIAL, *"acgt"]), cut="characters")
    assert dna.tokenize("ACgt") == ["a", "c", "g", "t"]
    assert dna.encode("AC\tGÉ").offsets[1:-1] == [(0, 1), (1, 2), (3, 4), (4, 5)]


def test_what_is_learned_is_what_the_cut_finds():
    vocab = learn.learn(MOLECULES * 2, 12, lower_case=False, cut=SMILES)
    assert vocab.tokens == (*SPECIAL, "C", "O", "c", "(", ")", "=", "1")
    assert "[MASK]" not in learn.learn(["C[MASK]C"] * 3, 20, lower_case=False, cut=SMILES).tokens[5:]
    assert len(learn.learn(MOLECULES, 99, lower_case=False, cut=SMILES)) < 99


def test_a_folder_says_how_its_texts_are_cut(tmp_path, smiles):
    smiles.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.cut.rule == SMILES
    assert [again.ids(text) for text in MOLECULES] == [smiles.ids(text) for text in MOLECULES]
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings.pop("do_lower_case")
    for rule, message in ((SMILES, None), ("(a+)+", r"tokenizer_config\.json: minibert_cut: the expression .* too many ways"),
                          (7, r"minibert_cut must be 'characters' or a regular expression, found 7")):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"minibert_cut": rule}), encoding="utf-8")
        if message is None:
            assert not Tokenizer.load(tmp_path).lower_case  # a capital is another atom
            assert Tokenizer.load(tmp_path).notes == []
        else:
            with pytest.raises(ValueError, match=message):
                Tokenizer.load(tmp_path)
    alone = Tokenizer.load(tmp_path / "vocab.txt", cut="characters")
    assert (alone.tokenize("Cl"), alone.lower_case) == (["C", "[UNK]"], False)


def test_a_model_without_a_vocabulary_is_told_where_it_is(tmp_path, capsys):
    config, parameters, tokenizer = tiny_model.make()
    bert = minibert.Bert(config, parameters, tokenizer)
    bert.save(tmp_path / "m")
    (tmp_path / "m" / "vocab.txt").replace(tmp_path / "vocab.txt")
    (tmp_path / "m" / "tokenizer_config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no vocab\.txt; if it stands elsewhere, name it: load\(…, tokenizer=FILE\)"):
        minibert.load(tmp_path / "m")
    for named in (tmp_path / "vocab.txt", str(tmp_path), tokenizer):
        assert minibert.load(tmp_path / "m", tokenizer=named).fill_mask("the [MASK]") == bert.fill_mask("the [MASK]")
    assert main(["convert", str(tmp_path / "m"), str(tmp_path / "whole"), "--vocab", str(tmp_path / "vocab.txt"),
                 "--cut", "characters"]) == 0
    assert minibert.load(tmp_path / "whole").tokenizer.tokenize("the") == ["t", "h", "e"]
    assert main(["fill-mask", "--model", str(tmp_path / "whole"), "--top", "1", "ab[MASK]c"]) == 0
    assert main(["tokenize", "--vocab", str(tmp_path / "vocab.txt"), "--cut", "..", "--ids", "thethe"]) == 0
    assert capsys.readouterr().out.split("\n")[-2] == "2 24 38 9 50 12 35 3"  # th et he


def test_training_obeys_the_cut_and_goes_on_with_it(tmp_path, capsys):
    corpus, run = tmp_path / "smiles.txt", tmp_path / "run"
    corpus.write_text("\n".join(MOLECULES * 30), encoding="utf-8")
    options = ["--layers", "1", "--hidden", "8", "--heads", "2", "--intermediate", "8", "--no-next-sentence", "--threads", "1"]
    assert main(["train", "--corpus", str(corpus), "--cut", SMILES, "--steps", "2", "--out", str(run), *options]) == 0
    bert = minibert.load(run)
    assert bert.tokenizer.cut.rule == SMILES
    assert {"Cl", "[C@@H]", "[Na+]"} <= set(bert.tokenizer.vocab.tokens)
    assert not any(token.startswith("##") for token in bert.tokenizer.vocab.tokens)
    from minibert.training import checkpoint

    assert checkpoint.load(run).tokenizer.ids(MOLECULES[1]) == bert.tokenizer.ids(MOLECULES[1])
    assert main(["train", "--corpus", str(corpus), "--cut", "(a+)+", "--out", str(tmp_path / "no")]) == 2
    assert "--cut: the expression (a+)+ may match a text in too many ways" in capsys.readouterr().err
