"""Real BERTs that read no prose, molecules (rxnfp) and antibodies (AntiBERTy): each masked token as transformers guesses it."""

import ast
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import minibert  # noqa: E402
from minibert.cli import main  # noqa: E402
from minibert.text import Tokenizer  # noqa: E402
from tests import real_model  # noqa: E402

REACTIONS = ["CC(=O)O.OCC>>CC(=O)OCC", "c1ccccc1Br.OB(O)c1ccncc1>>c1ccccc1-c1ccncc1", "[Na+].[OH-].CC(=O)OC>>CC(=O)O",
             "C[C@@H](N)C(=O)O.CC(=O)Cl>>C[C@@H](NC(C)=O)C(=O)O", "O=C1CCCCC1.[BH4-]>>OC1CCCCC1"]
ANTIBODIES = ["EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQMNSLRAEDTAVYYCARDYWGQGTLVTVSS",
              "DIQMTQSPSSLSASVGDRVTITCRASQSISSYLNWYQQKPGKAPKLLIYAASSLQSGVPSRFSGSGSGTDFTLTISSLQPEDFATYYCQQSYSTPLTFGGGTKVEIK"]


def test_molecules():
    package = real_model.package("rxnfp", "rxnfp==0.1.0")
    folder = package / "models" / "transformers" / "bert_pretrained"
    tree = ast.parse((package / "tokenization.py").read_text(encoding="utf-8"))
    values = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    rule = values["SMI_REGEX_PATTERN"].value
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    bert = minibert.load(folder, tokenizer=Tokenizer.load(folder, cut=rule))
    assert not bert.initialised
    peer = transformers.BertForMaskedLM.from_pretrained(folder, attn_implementation="eager")
    rows = [[words.index(word) for word in ["[CLS]", *re.findall(rule, text), "[SEP]"]] for text in REACTIONS]
    assert accuracy(bert, peer, REACTIONS, rows) > 0.8


def test_antibodies(tmp_path):
    package = real_model.package("antiberty", "antiberty==0.1.3")
    source, vocabulary = package / "trained_models" / "AntiBERTy_md_smooth", package / "trained_models" / "vocab.txt"
    assert main(["convert", str(source), str(tmp_path / "antiberty"), "--vocab", str(vocabulary), "--cut", "characters"]) == 0
    bert = minibert.load(tmp_path / "antiberty")
    assert not any(name.startswith("cls.predictions") for name in bert.initialised)
    peer = transformers.BertForMaskedLM.from_pretrained(source, attn_implementation="eager")
    theirs = transformers.BertTokenizer(str(vocabulary), do_lower_case=False)
    assert accuracy(bert, peer, ANTIBODIES, [theirs(" ".join(text))["input_ids"] for text in ANTIBODIES]) > 0.8


@torch.inference_mode()
def accuracy(bert, peer, texts, rows):
    """The share of tokens that are guessed rightly behind a mask of their own; tokens and guesses are the same on both sides."""
    peer.eval()
    assert [bert.tokenizer.encode(text).ids for text in texts] == rows
    right = []
    for ids in map(np.array, rows):
        places = np.arange(1, len(ids) - 1)
        copies = np.tile(ids, (len(places), 1))
        copies[np.arange(len(places)), places] = bert.tokenizer.vocab.mask_id
        theirs = peer(torch.from_numpy(copies)).logits[torch.arange(len(places)), torch.from_numpy(places)].softmax(-1)
        for row, place, expected in zip(copies, places, theirs.numpy()):
            (word, probability), = bert.fill_mask(row, 1)
            assert bert.tokenizer.vocab.index[word] == expected.argmax()
            assert probability == pytest.approx(float(expected.max()), abs=1e-5)
            right.append(expected.argmax() == ids[place])
    return np.mean(right)
