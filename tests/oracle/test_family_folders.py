"""Whole folders of relatives, model and tokenizer: what is made of a text here is what transformers makes of it; so of a copy.

ALBERT's tokenizer of transformers 5.24 says nothing of token types unless it is asked, and its model then takes a pair for one
segment; here it is asked.
"""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import minibert  # noqa: E402
from minibert.text import Tokenizer, spm  # noqa: E402
from tests import tiny_model  # noqa: E402
from tests.oracle.test_bytepair_folders import MERGES, ROBERTA, VOCAB  # noqa: E402
from tests.oracle.test_families import CONFIGS  # noqa: E402

PIECES = Path(__file__).parents[1] / "text" / "sentencepiece"


def byte_pairs(folder):
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(VOCAB)}), encoding="utf-8")
    (folder / "merges.txt").write_text("".join(f"{a} {b}\n" for a, b in MERGES), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(ROBERTA), encoding="utf-8")


def sentence_pieces(model, file, name):
    def write(folder):
        source = folder / "pieces"
        source.mkdir()
        spm.write(source / file, spm.read(PIECES / model))
        (source / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}), encoding="utf-8")
        Tokenizer.load(source).save(folder)
    return write


def words(folder):
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tiny_model.TOKENS), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}', encoding="utf-8")


FOLDERS = {
    "roberta": byte_pairs, "albert": sentence_pieces("albert.model", "spiece.model", "AlbertTokenizer"),
    "xlm-roberta": sentence_pieces("unigram.model", "sentencepiece.bpe.model", "XLMRobertaTokenizer"),
    "camembert": sentence_pieces("unigram.model", "sentencepiece.bpe.model", "CamembertTokenizer"),
    "distilbert": words, "electra": words, "ernie, task types": words,
}


@pytest.fixture(params=FOLDERS)
def folder(request, tmp_path):
    """A folder that transformers wrote, but for its tokenizer, and what transformers opens there."""
    FOLDERS[request.param](tmp_path)
    family = request.param.partition(",")[0]
    values = {key: value for key, value in CONFIGS[request.param].items() if key not in ("vocab_size", "pad_token_id")}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family, **values, "max_position_embeddings": 80}),
                                          encoding="utf-8")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    torch.manual_seed(1)
    model = transformers.AutoModelForMaskedLM.from_config(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.15 * torch.randn(p.shape)
    model.save_pretrained(tmp_path)
    return tmp_path, model, tokenizer


def test_texts_pairs_and_guesses(folder, tmp_path):
    path, model, tokenizer = folder
    bert = minibert.load(path, "cpu")
    assert all(name.startswith(("bert.pooler.", "cls.seq_relationship.")) for name in bert.initialised)
    for text in (["the exception raises"], ["the exception", "an exception"]):
        encoded = tokenizer(*text, return_tensors="pt", return_token_type_ids=bert.config.type_vocab_size > 1)
        out = bert([tuple(text) if len(text) > 1 else text[0]])
        assert out.tokens[0] == tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
        with torch.no_grad():
            expected = model(**encoded, output_hidden_states=True).hidden_states[-1].numpy()
        np.testing.assert_allclose(out.last_hidden_state, expected, atol=1e-5)
    text = f"the {tokenizer.mask_token} raises"
    with torch.no_grad():
        encoded = tokenizer(text, return_tensors="pt")
        at = int((encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero()[0, 0])
        best = model(**encoded).logits[0, at].softmax(-1).topk(3)
    for (token, probability), p, i in zip(bert.fill_mask(text, top=3), best.values, best.indices, strict=True):
        assert token == bert.tokenizer.written(int(i), False)
        assert probability == pytest.approx(float(p), abs=1e-5)
    padded = bert.embed(["the", "the exception raises an exception"])  # of unequal lengths, side by side
    for text, vector in zip(("the", "the exception raises an exception"), padded, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[-1][0]
        np.testing.assert_allclose(vector, states.mean(0).numpy(), atol=1e-5)


def test_a_copy_opens_there(folder, tmp_path):
    path, model, tokenizer = folder
    minibert.load(path, "cpu").save(tmp_path / "copy")
    again, report = type(model).from_pretrained(tmp_path / "copy", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "copy")
    encoded = tokenizer("the exception raises", "an exception", return_tensors="pt")
    assert theirs("the exception raises", "an exception")["input_ids"] == encoded["input_ids"][0].tolist()
    with torch.no_grad():
        assert torch.equal(again(**encoded).logits, model(**encoded).logits)
