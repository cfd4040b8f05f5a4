import gc
import re
import tracemalloc

import numpy as np
import pytest

from minibert import info, memory, pretrained
from minibert.api import Bert
from minibert.cli import main
from minibert.config import PRESETS, BertConfig
from minibert.layers.dropout import Key
from minibert.model import pretraining
from minibert.text import Tokenizer, Vocabulary
from tests import tiny_model

ENCODER = {"tiny": 4_385_920, "mini": 11_170_560, "small": 28_763_648, "medium": 41_373_184, "base": 109_482_240,
           "large": 335_141_888}
WITH_HEADS = {"tiny": 4_433_468, "mini": 11_267_900, "small": 29_058_876, "medium": 41_668_412, "base": 110_106_428,
              "large": 336_226_108}


@pytest.mark.parametrize("name", PRESETS)
def test_the_published_numbers_of_parameters(name, capsys):
    counts = memory.parameter_counts(BertConfig.preset(name))
    assert counts["encoder"] == ENCODER[name]
    assert counts["total"] == WITH_HEADS[name]
    assert main(["info", name]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"= encoder with pooler +{ENCODER[name]:,} ", out)
    assert re.search(rf"= with both pre-training heads +{WITH_HEADS[name]:,} ", out)
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_parts_add_up(norm_first):
    n = memory.parameter_counts(BertConfig.preset("mini", norm_first=norm_first))
    assert 4 * (n["attention"] + n["feed_forward"] + n["norms"]) == n["layers"]
    assert n["encoder"] == sum(n[part] for part in ("word", "position", "type", "norm", "layers", "final_norm", "pooler"))
    assert n["total"] == n["encoder"] + n["mlm"] + n["nsp"]
    assert n["final_norm"] == (2 * 256 if norm_first else 0)


CASES = [
    ({}, 4, 64),
    ({}, 2, 160),  # the square of the length counts
    ({"norm_first": True}, 4, 64),
    ({"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}, 4, 64),
    ({"vocab_size": 20_000}, 2, 64),  # the logits count
    ({"embedding_size": 16, "layer_map": (0, 1, 0)}, 4, 64),
    ({"embedding_size": 16, "word_window": 3, "bottleneck_size": 32, "attention_reads": "shared", "ffn_count": 4,
      "norm": "no_norm", "hidden_act": "relu", "long_decoder": True, "intermediate_size": 64}, 4, 64),
]


def prepared(changes, batch, length):
    config = BertConfig(**{"vocab_size": 1000, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2,
                           "intermediate_size": 256, **changes})
    rng = np.random.default_rng(0)
    masked = memory.masked_tokens(batch, length)
    ids = rng.integers(5, config.vocab_size, (batch, length))
    inputs = pretraining.Inputs(ids, np.zeros_like(ids), np.ones_like(ids),
                                np.sort(rng.choice(ids.size, masked, replace=False)), ids.reshape(-1)[:masked],
                                np.zeros(batch, np.int64))
    return config, pretraining.initial_parameters(config), inputs


def buffers(x, found):
    """The arrays that own the memory behind every array in nested tuples and lists."""
    if isinstance(x, np.ndarray):
        while isinstance(x.base, np.ndarray):
            x = x.base
        found[id(x)] = x
    elif isinstance(x, (tuple, list)):
        for part in x:
            buffers(part, found)
    return found.values()


@pytest.mark.parametrize("length", [64, 100])  # 64 is also the size of a head
@pytest.mark.parametrize("changes", [
    {}, {"norm_first": True}, {"hidden_dropout_prob": 0.0}, {"attention_probs_dropout_prob": 0.0}])
def test_what_a_layer_keeps_is_what_the_formulas_say(changes, length):
    config = BertConfig.preset("mini", **changes)
    H, I, A, N = 256, 1024, 4, 3 * length
    formulas = {
        "attention: x, q, k, v, context": N * H * (6 if config.norm_first else 5),  # pre-LN: x, normalised and not
        "attention probabilities, T × T per head": 3 * A * length**2 * (3 if config.attention_probs_dropout_prob else 1),
        "feed-forward: its input, W1·h, Φ, gelu": N * (H + 3 * I),
        "layer norms": 2 * N * (H + 1),
        "dropout masks": 2 * N * H if config.hidden_dropout_prob else 0,
    }
    kept = {part.name: part.bytes for part in memory.layer_activations(config, 3, length)}
    assert kept == {name: 4 * numbers for name, numbers in formulas.items() if numbers}


@pytest.mark.parametrize(("changes", "batch", "length"), CASES)
def test_the_formula_of_activations_is_what_the_caches_hold(changes, batch, length):
    config, p, inputs = prepared(changes, batch, length)
    out, cache = pretraining.forward(inputs, p.tree, config, key=Key(0))
    held = sum(x.nbytes for x in buffers((out, cache), {}) if x.dtype == np.float32)
    assert memory.activations(config, batch, length) == pytest.approx(held, rel=0.01)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("changes", "batch", "length"), CASES)
def test_the_peak_of_a_training_step(changes, batch, length, recompute):
    config, p, inputs = prepared(changes, batch, length)
    g = p.zeros_like()

    def step():
        _, cache = pretraining.forward(inputs, p.tree, config, key=Key(0), recompute=recompute)
        pretraining.backward(pretraining.Output(loss=1.0), cache, p.tree, g.tree)

    expected = memory.activations(config, batch, length, recompute=recompute) + memory.temporaries(config, batch, length)
    assert expected == pytest.approx(peak(step), rel=0.1)


@pytest.mark.parametrize(("changes", "batch", "length"), CASES)
def test_the_peak_of_inference(changes, batch, length):
    config, p, _ = prepared(changes, batch, length)
    more = [f"w{i}" for i in range(config.vocab_size - len(tiny_model.TOKENS))]
    bert = Bert(config, p, Tokenizer(Vocabulary([*tiny_model.TOKENS, *more])))
    texts = [" ".join(["a"] * (length - 2))] * batch
    expected = memory.total(memory.inference(config, batch, length)[1:])  # the weights are there already
    assert expected == pytest.approx(peak(lambda: bert(texts, batch_size=batch)), rel=0.25)


def peak(function):
    function()  # what is allocated once and kept
    gc.collect()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_cores_keep_a_micro_batch_each_and_not_the_batch():
    config = BertConfig.preset("base")
    small, large = (memory.total(memory.training_on_cores(config, batch, 128, workers=2)) for batch in (8, 256))
    assert small == large
    one, two = (memory.training_on_cores(config, 32, 128, workers=n) for n in (1, 2))
    weights = 4 * memory.parameter_counts(config)["total"]
    assert memory.total(two) - memory.total(one) == weights + one[-1].bytes
    assert memory.total(memory.training_on_cores(config, 1, 128, workers=8)) > 0
    assert memory.total(memory.training(config, 32, 128)) > memory.total(two)


def test_an_average_of_the_weights_is_counted(capsys):
    config = BertConfig.preset("base")
    weights = 4 * memory.parameter_counts(config)["total"]
    for parts in (memory.training, memory.training_on_cores):
        options = {"workers": 2} if parts is memory.training_on_cores else {}
        with_it, without = (memory.total(parts(config, 32, 128, **options, average=average)) for average in (True, False))
        assert with_it - without == weights
    assert main(["info", "base", "--ema"]) == 0
    assert capsys.readouterr().out.count("average of the weights") == 2


def test_what_adafactor_keeps_is_counted(capsys):
    config = BertConfig.preset("base")
    with_it, without = (memory.total(memory.training(config, 32, 128, factored=factored)) for factored in (True, False))
    adam = 8 * memory.parameter_counts(config)["total"]
    assert adam - 0.01 * adam < without - with_it < adam
    assert main(["info", "base", "--adafactor"]) == 0
    assert capsys.readouterr().out.count("means of Adafactor") == 2


def test_layers_that_are_computed_again_keep_little(capsys):
    config = BertConfig.preset("base")
    again, kept = (memory.total(memory.training(config, 32, 128, recompute=recompute)) for recompute in (True, False))
    states, one = (memory.total(memory.layer_activations(c, 32, 128, recompute=True)[part])
                   for c, part in ((config, slice(1)), (config, slice(1, None))))
    assert kept - again == 12 * one - (states + one)
    assert main(["info", "base", "--recompute"]) == 0
    assert "inputs of the layers" in capsys.readouterr().out


def test_of_layers_that_differ_the_largest_is_at_work(capsys):
    whole = BertConfig.preset("base", model_type="minibert")
    pruned = whole.replace(heads_of_layers=((0,), *[tuple(range(12))] * 11), intermediate_sizes=(1, *[3072] * 11))
    kept = [memory.total(memory.layer_activations(config, 32, 128, recompute=True)) for config in (whole, pruned)]
    assert kept[0] == kept[1]
    assert main(["info", "textcnn/tiny", "--recompute"]) == 2
    assert "--recompute: this model is made of convolutions" in capsys.readouterr().err


def test_the_common_table_is_explained(capsys):
    assert main(["info", "base", "--batch", "32", "--length", "128", "--threads", "4"]) == 0
    out = capsys.readouterr().out
    gpu = memory.total(memory.training(BertConfig.preset("base"), 32, 128))
    assert 6e9 < gpu < 7.5e9  # with what CUDA takes: the "7 GB+"
    assert 32e9 < memory.total(memory.training(BertConfig.preset("large"), 32, 256)) < 36e9
    assert out.count(f"{gpu / 1e9:.2f} GB") == 2
    for part in ("weights", "gradients", "moments of Adam", "attention probabilities", "feed-forward", "logits of 614 masked"):
        assert part in out
    assert "4 cores" in out
    main(["info", "tiny"])
    assert "common table" not in capsys.readouterr().out


def test_options_and_other_sources(tmp_path, capsys):
    pretrained.save(tmp_path, *tiny_model.make(norm_first=True))
    for source in (tmp_path, tmp_path / "config.json"):
        assert main(["info", str(source), "--length", "7", "--batch", "1"]) == 0
        out = capsys.readouterr().out
        assert "1 text of 7 tokens" in out
        assert "last layer norm" in out
    assert main(["info", "tiny", "--vocab-size", "6000"]) == 0
    assert "6,000 × 128" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "message"), [
    (["huge"], "huge: neither a preset (tiny, mini, small, medium, base, large) nor a config.json nor a folder"),
    (["base", "--length", "513"], "--length is 513, but the model has 512 positions"),
    (["base", "--batch", "0"], "--batch must be at least 1, got 0"),
    (["base", "--batch", str(10**30)], "--batch must be below 2**31"),
    (["base", "--vocab-size", "0"], "vocab_size must be a whole number of at least 1, got 0"),
    (["base", "--threads", "0"], "--threads must be at least 1, got 0"),
])
def test_wrong_input(arguments, message, capsys):
    assert main(["info", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_sizes_are_readable():
    assert [info.size(n) for n in (17, 1_700, 12_600_000, 512_000_000, 6_930_000_000, 123_456_000_000)] == [
        "17 bytes", "1.70 kB", "12.6 MB", "512 MB", "6.93 GB", "123 GB"]
