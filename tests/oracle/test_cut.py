"""Real models that read no prose: each masked token as transformers guesses it.

BERTs of molecules (rxnfp) and antibodies (AntiBERTy), an ALBERT of reactions (rxnmapper), two RoBERTas of antibodies in fairseq's
format (sapiens). The reactions and sequences are made up, and valid.
"""

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


@pytest.mark.parametrize(("project", "source", "model", "kind", "least"), [
    ("rxnfp==0.1.0", "tokenization.py", "bert_pretrained", "BertForMaskedLM", 0.8),
    ("rxnmapper==0.4.3", "smiles_utils.py", "albert_heads_8_uspto_all_1310k", "AlbertForMaskedLM", 0.8)])
def test_molecules(project, source, model, kind, least):
    package = real_model.package(project.partition("=")[0], project)
    folder = package / "models" / "transformers" / model
    tree = ast.parse((package / source).read_text(encoding="utf-8"))
    values = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    rule = ast.literal_eval(values["SMI_REGEX_PATTERN"])
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    bert = minibert.load(folder, tokenizer=Tokenizer.load(folder, cut=rule))
    assert not any(name.startswith("cls.predictions") for name in bert.initialised)
    peer = getattr(transformers, kind).from_pretrained(folder, attn_implementation="eager")
    rows = [[words.index(word) for word in ["[CLS]", *re.findall(rule, text), "[SEP]"]] for text in REACTIONS]
    assert accuracy(bert, peer, REACTIONS, rows) > least


def test_antibodies(tmp_path):
    package = real_model.package("antiberty", "antiberty==0.1.3")
    source, vocabulary = package / "trained_models" / "AntiBERTy_md_smooth", package / "trained_models" / "vocab.txt"
    assert main(["convert", str(source), str(tmp_path / "antiberty"), "--vocab", str(vocabulary), "--cut", "characters"]) == 0
    bert = minibert.load(tmp_path / "antiberty")
    assert not any(name.startswith("cls.predictions") for name in bert.initialised)
    peer = transformers.BertForMaskedLM.from_pretrained(source, attn_implementation="eager")
    theirs = transformers.BertTokenizer(str(vocabulary), do_lower_case=False)
    assert accuracy(bert, peer, ANTIBODIES, [theirs(" ".join(text))["input_ids"] for text in ANTIBODIES]) > 0.8


@pytest.mark.parametrize(("chain", "sequence"), [("vh", 0), ("vl", 1)])
def test_antibodies_in_the_format_of_fairseq(tmp_path, chain, sequence):
    folder = real_model.package("sapiens", "sapiens==1.0.3") / "models" / "v1"
    file = f"checkpoint_{chain}.pt"
    assert main(["convert", str(folder), str(tmp_path / "ours"), "--weights", file, "--vocab", str(folder / "dict.txt"),
                 "--cut", "characters"]) == 0
    bert = minibert.load(tmp_path / "ours")
    assert bert.notes == []
    letters = [line.split()[0] for line in (folder / "dict.txt").read_text(encoding="utf-8").splitlines()]
    symbols = ["<s>", "<pad>", "</s>", "<unk>", *letters, "<mask>"]
    rows = [[symbols.index(symbol) for symbol in ("<s>", *text, "</s>")] for text in ANTIBODIES[sequence:][:1]]
    peer = of_fairseq(torch.load(folder / file, map_location="cpu", weights_only=False))
    assert accuracy(bert, peer, ANTIBODIES[sequence:][:1], rows) > 0.8
    again = transformers.RobertaForMaskedLM.from_pretrained(tmp_path / "ours", attn_implementation="eager")
    for name, x in peer.state_dict().items():
        assert torch.equal(again.state_dict()[name], x), name


def of_fairseq(checkpoint):
    """transformers' RoBERTa with the tensors of a checkpoint put in by hand, one by one."""
    args, state = checkpoint["args"], {name.partition(".")[2]: x for name, x in checkpoint["model"].items()}
    positions = state["sentence_encoder.embed_positions.weight"]
    peer = transformers.RobertaForMaskedLM(transformers.RobertaConfig(
        vocab_size=len(state["lm_head.bias"]), hidden_size=args.encoder_embed_dim, num_hidden_layers=args.encoder_layers,
        num_attention_heads=args.encoder_attention_heads, intermediate_size=args.encoder_ffn_embed_dim,
        max_position_embeddings=len(positions), type_vocab_size=1, layer_norm_eps=1e-5, attn_implementation="eager"))

    def put(module, name):
        module.load_state_dict({kind: state[f"{name}.{kind}"] for kind, _ in module.named_parameters()})

    encoder, head = peer.roberta, peer.lm_head
    put(encoder.embeddings.word_embeddings, "sentence_encoder.embed_tokens")
    put(encoder.embeddings.position_embeddings, "sentence_encoder.embed_positions")
    put(encoder.embeddings.LayerNorm, "sentence_encoder.emb_layer_norm")
    encoder.embeddings.token_type_embeddings.weight.data.zero_()
    for i, layer in enumerate(encoder.encoder.layer):
        start = f"sentence_encoder.layers.{i}"
        for module, name in ((layer.attention.self.query, "self_attn.q_proj"), (layer.attention.self.key, "self_attn.k_proj"),
                             (layer.attention.self.value, "self_attn.v_proj"),
                             (layer.attention.output.dense, "self_attn.out_proj"),
                             (layer.attention.output.LayerNorm, "self_attn_layer_norm"), (layer.intermediate.dense, "fc1"),
                             (layer.output.dense, "fc2"), (layer.output.LayerNorm, "final_layer_norm")):
            put(module, f"{start}.{name}")
    put(head.dense, "lm_head.dense")
    put(head.layer_norm, "lm_head.layer_norm")
    head.bias.data.copy_(state["lm_head.bias"])
    assert torch.equal(state["lm_head.weight"], state["sentence_encoder.embed_tokens.weight"])
    return peer


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
