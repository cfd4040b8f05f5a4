"""The files of ``benchmarks.damage``: every format that is read, how a command reads it, and what is done to it."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from minibert import pretrained, scoring, search
from minibert.analysis import probes, subject
from minibert.compression.quantise import INT8
from minibert.convert import convert
from minibert.data import corpora
from minibert.data.prepared import shards, tf_example, tfrecord
from minibert.data.prepared.instances import Wanted
from minibert.data.tokens import making, manifest, shard
from minibert.data.tokens.sources import Texts
from minibert.data.tokens.windows import Windows, held_out
from minibert.finetuning import command, saved
from minibert.finetuning.options import Settings
from minibert.parameters import Parameters
from minibert.pretrained import families, formats, gguf, leveldb, onnx_writer, tensors
from minibert.pretrained.folder import read_parameters
from minibert.ranks import ALONE
from minibert.sentence_vectors import Pooling
from minibert.tasks.labelled import TASKS, asked_for
from minibert.text import Reading, Tokenizer, Vocabulary
from minibert.text.bytepairs import BytePairs
from minibert.text.frame import ROBERTA
from minibert.text.learn import learn_bpe
from minibert.text.sentencepiece import SentencePiece
from minibert.training import checkpoint, loop, options
from minibert.training.adamw import AdamW
from tests import tiny_model
from tests.pretrained import examples, fairseq_models, writers

Harm = Callable[[bytes, np.random.Generator], bytes]


class Format(NamedTuple):
    """A kind of file: how a folder with whole ones is made, how a command reads it, and what is done to the files."""

    write: Callable[[Path], Sequence[Path]]  # returns the files to be damaged
    read: Callable[[Path], Any]  # what was read, to be compared; (tensors by name, notes) of weights
    harms: Sequence[Harm]
    verified: bool = False  # does a checksum tell of wrong numbers?


# What is done to a file.


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one wrong bit, a few wrong bytes, a piece missing, repeated, added or overwritten, or the end cut off."""
    data = bytearray(data)
    at, length = int(rng.integers(len(data))), int(rng.integers(1, 40))
    kind = rng.choice(["bit", "bit", "bit", "byte", "bytes", "ones", "cut", "remove", "insert", "move", "number"])
    if kind == "bit":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == "byte":
        data[at] = int(rng.integers(256))
    elif kind == "bytes":
        for i in rng.integers(len(data), size=length):
            data[i] = int(rng.integers(256))
    elif kind == "ones":
        data[at:at + length] = b"\xff" * len(data[at:at + length])
    elif kind == "cut":
        del data[at:]
    elif kind == "remove":
        del data[at:at + length]
    elif kind == "insert":
        data[at:at] = rng.bytes(length)
    elif kind == "move":
        to = int(rng.integers(len(data)))
        data[to:to + length] = data[at:at + length]
    elif digits := [i for i, byte in enumerate(data) if 48 <= byte < 58]:  # of a header: another number of the same length
        data[int(rng.choice(digits))] = 48 + int(rng.integers(10))
    return bytes(data)


_ODD = [None, True, 0, -1, 1, 3, 2**31, 2**63, 10**30, -(10**30), 1.5, 1e308, float("nan"), float("inf"), "", "x", "\0",
        "x" * 10_000, [], {}, ["x"], [["x"]], {"x": ["x"]}, [0] * 1000, [1] * 1000, [2**62] * 300,
        json.loads("[" * 90 + "]" * 90)]


def odd_json(data: bytes, rng: np.random.Generator) -> bytes:
    """A JSON text, or one of its lines, with a value exchanged for an odd one, a key left out or standing there twice."""
    lines = data.decode("utf-8").splitlines(keepends=True)
    i = int(rng.integers(len(lines)))
    try:
        part = json.loads(lines[i])
    except ValueError:
        lines, i = [data.decode("utf-8")], 0
        part = json.loads(lines[0])
    places = [(None, None), *_places(part)]
    holder, key = places[int(rng.integers(len(places)))]
    odd = _ODD[int(rng.integers(len(_ODD)))]
    if holder is None:
        part = odd
    elif rng.integers(6) == 0:
        del holder[key]
    else:
        holder[key] = odd
    text = json.dumps(part, ensure_ascii=False)
    if isinstance(part, dict) and part and rng.integers(6) == 0:
        text = f"{text[:-1]}, {json.dumps(next(iter(part)))}: {json.dumps(odd)}}}"
    elif rng.integers(40) == 0:
        text = "[" * 10_000 + text + "]" * 10_000
    lines[i] = text + ("\n" if lines[i].endswith("\n") else "")
    return "".join(lines).encode("utf-8", "surrogatepass")


def _places(x: Any) -> list[tuple[Any, Any]]:
    """Every (list or dictionary, index or key) in a JSON value, at most 200 of each."""
    found = []
    for key in (list(x) if isinstance(x, dict) else range(len(x)) if isinstance(x, list) else ())[:200]:
        found += [(x, key), *_places(x[key])]
    return found


_PIECES = ["\0", "\r", "\u2028", "\ufeff", '"', "\t", ",", "\n\n", "\n\n\n\n", " " * 500, "x" * 200_000, "𝔘", "\u0301" * 50,
           "[SEP]", "[MASK]", "\n[\n", "1e999", "-", "nan", "<!DOCTYPE html>"]


def odd_text(data: bytes, rng: np.random.Generator) -> bytes:
    """A text with something put in at some place, the beginning and the end among them, or a line lost or doubled."""
    text = data.decode("utf-8")
    lines = text.splitlines(keepends=True)
    kind, i = rng.integers(4), int(rng.integers(len(lines)))
    if kind == 0:
        del lines[i]
    elif kind == 1:
        lines.insert(int(rng.integers(len(lines))), lines[i])
    if kind < 2:
        return "".join(lines).encode("utf-8")
    at = (0, len(text), int(rng.integers(len(text))), int(rng.integers(len(text))))[int(rng.integers(4))]
    return (text[:at] + _PIECES[int(rng.integers(len(_PIECES)))] + text[at:]).encode("utf-8")


def resealed_zip(data: bytes, rng: np.random.Generator) -> bytes:
    """An archive with a damaged member, and right checksums; now and then a member twice, or under another name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    i = int(rng.integers(len(members)))
    name, content = members[i]
    kind = rng.integers(8)
    if kind == 0:
        members.append((name, members[int(rng.integers(len(members)))][1]))
    elif kind == 1:
        members[i] = name.removesuffix(".npy") + ("" if name.endswith(".npy") else ".npy"), content
    else:
        members[i] = name, damaged(content, rng)
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # a name twice
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)  # of 1980: a seed gives the same bytes at any time
    return out.getvalue()


def resealed_index(data: bytes, rng: np.random.Generator) -> bytes:
    """The index of a TensorFlow checkpoint with a damaged entry or an odd shape, and right checksums."""
    try:
        entries = list(leveldb.entries(data))
    except ValueError:  # a data file beside it
        return damaged(data, rng)
    i = int(rng.integers(len(entries)))
    key, value = entries[i]
    if rng.integers(2):
        sizes = [int(rng.choice([0, 1, 2, 2**31, 2**62])) for _ in range(int(rng.choice([1, 3, 9, 2000])))]
        value += b"".join(writers.field(2, writers.field(2, writers.field(1, n))) for n in sizes)
    else:
        value = damaged(value, rng)
    entries[i] = key, value
    return writers.table(entries, compress=bool(rng.integers(2)))


def resealed_header(data: bytes, rng: np.random.Generator) -> bytes:
    """A safetensors file with an odd header, or odd JSON in a string of it, and a length that fits."""
    length = int.from_bytes(data[:8], "little")
    header = data[8:8 + length]
    metadata = json.loads(header).get("__metadata__", {})
    if metadata and rng.integers(2):
        name = next(iter(metadata))
        try:
            inside = odd_json(metadata[name].encode("utf-8"), rng).decode("utf-8")
        except ValueError:  # a plain string
            inside = "x"
        header = json.dumps({**json.loads(header), "__metadata__": {**metadata, name: inside}}).encode("utf-8")
    else:
        header = odd_json(header, rng)
    return len(header).to_bytes(8, "little") + header + data[8 + length:]


def resealed_record(data: bytes, rng: np.random.Generator) -> bytes:
    """Records with a damaged message, or one that says odd things, and right checksums."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(data)
        pieces = tfrecord.read(path, 0, 0, len([*tfrecord.places(path)]))
        i = int(rng.integers(len(pieces)))
        if rng.integers(2):
            pieces[i] = damaged(pieces[i], rng)
        else:
            found = {name: np.frombuffer(values, np.uint8).astype(np.int64) if kind == 3 else np.frombuffer(values, "<f4")
                     for name, (kind, values) in tf_example.features(pieces[i], "it").items()}  # ids below 128: a byte each
            name = str(rng.choice(list(found)))
            n, dtype = len(found[name]), found[name].dtype if rng.integers(2) else rng.choice([np.int64, np.float32])
            odd = [np.zeros(0), np.zeros(20_000), np.full(n, 2**62), np.full(n, -1), np.arange(n)[::-1], np.full(n, np.nan)]
            with np.errstate(invalid="ignore"):
                found[name] = odd[int(rng.integers(len(odd)))].astype(dtype)
            pieces[i] = tf_example.message(found)
        tfrecord.write(path, pieces)
        return path.read_bytes()


# What is read, and how.


def _weights(kind: str) -> Callable[[Path], Sequence[Path]]:
    return lambda folder: examples.write(folder, kind)


def _in_8_bits(folder: Path) -> Sequence[Path]:
    examples.write(folder / "whole", "safetensors")
    convert(folder / "whole", folder, INT8)
    return [folder / INT8.file]


def _read_weights(folder: Path) -> tuple[dict, list[str]]:
    config, _, _ = examples.tiny()
    with formats.opened(formats.find(folder)) as reader:
        parameters, notes, _ = read_parameters(reader, config)
    return {name: x.tobytes() for name, x in parameters.items()}, notes


_TESTS = Path(__file__).parents[1] / "tests"


def _of_peer(library: str, *names: str, verified: bool = False) -> Format:
    """What the library itself wrote: the file that is named first, and what lies beside it."""
    [source] = _TESTS.glob(f"pretrained/{library}-*")

    def write(folder: Path) -> Sequence[Path]:
        for path in (*source.glob("*.json"), *source.glob("vocab.txt"), *map(source.joinpath, names)):
            (folder / path.name).write_bytes(path.read_bytes())
        return [folder / name for name in names]

    def read(folder: Path) -> tuple[dict, list[str]]:
        loaded = pretrained.load(folder, weights=names[0])
        return {name: x.tobytes() for name, x in loaded.parameters.items()}, list(loaded.notes)

    return Format(write, read, (damaged,), verified)


def _onnx(folder: Path) -> Sequence[Path]:
    """As ``convert`` writes it."""
    config, parameters, _ = examples.tiny()
    onnx_writer.write(folder / "model.onnx", dict(parameters.items()), config)
    return [folder / "model.onnx"]


def _gguf(folder: Path) -> Sequence[Path]:
    """Sizes and vocabulary are in it too."""
    config, parameters, tokenizer = examples.tiny()
    gguf.write(folder / "model.gguf", dict(parameters.items()), config, tokenizer)
    return [folder / "model.gguf"]


def _read_gguf(folder: Path) -> Any:
    loaded = pretrained.load(folder)
    return loaded.config, loaded.tokenizer.vocab, loaded.parameters.flat.tobytes()


def _training_run(folder: Path) -> Sequence[Path]:
    path = folder / "model.pt"
    fairseq_models.write(path, fairseq_models.merged(fairseq_models.arrays()), fairseq_models.SAID["cfg"])
    return [path]


def _read_training_run(folder: Path) -> tuple[dict, list[str]]:
    loaded = pretrained.load(folder, tokenizer=fairseq_models.tokenizer())
    return {name: x.tobytes() for name, x in loaded.parameters.items()}, list(loaded.notes)


def _file(name: str, content: str) -> Callable[[Path], Sequence[Path]]:
    def write(folder: Path) -> Sequence[Path]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
        return [folder / name]
    return write


def _lines(objects: Iterable[Any]) -> str:
    """JSON Lines."""
    return "".join(json.dumps(x) + "\n" for x in objects)


def _files(**contents: Any) -> Callable[[Path], Sequence[Path]]:
    """JSON files; ``__`` in a name stands for a folder."""
    return lambda folder: [path for name, content in contents.items()
                           for path in _file(name.replace("__", "/") + ".json", json.dumps(content, indent=2))(folder)]


def _model(folder: Path) -> Sequence[Path]:
    examples.write(folder, "safetensors")
    return [folder / "config.json"]


def _relatives(folder: Path) -> Sequence[Path]:
    paths = [folder / f"{family}.json" for family in families.FAMILIES]
    for path in paths:
        path.write_text(families.to_json(families.preset(path.stem, "tiny")), encoding="utf-8")
    return paths


def _read_relatives(folder: Path) -> Any:
    configs = [pretrained.read_config(folder / f"{family}.json") for family in families.FAMILIES]
    return [(config, families.to_json(config), families.names(config).ours("x")) for config in configs]


def _vocabulary(folder: Path) -> Sequence[Path]:
    examples.write(folder, "safetensors")
    return [folder / "vocab.txt", folder / "tokenizer_config.json"]


def _tokenizer_json(folder: Path) -> Sequence[Path]:
    vocab = {token: i for i, token in enumerate(tiny_model.TOKENS)}
    return _file("tokenizer.json", json.dumps({
        "version": "1.0", "added_tokens": [{"id": 4, "content": "[MASK]", "special": True, "lstrip": True}],
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None, "handle_chinese_chars": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": vocab}}))(folder)


def _byte_pairs(folder: Path) -> Sequence[Path]:
    """``vocab.json``, ``merges.txt`` and the settings."""
    vocab, merges = learn_bpe(_SENTENCES, 290)
    Tokenizer(vocab, method=BytePairs, frame=ROBERTA, merges=merges).save(folder)
    return [folder / name for name in ("vocab.json", "merges.txt", "tokenizer_config.json")]


def _byte_pairs_json(folder: Path) -> Sequence[Path]:
    vocab, merges = learn_bpe(_SENTENCES, 290)
    return _file("tokenizer.json", json.dumps({
        "version": "1.0", "added_tokens": [{"id": 4, "content": "<mask>", "special": True, "lstrip": True}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}, "decoder": {"type": "ByteLevel"},
        "post_processor": {"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2]},
        "model": {"type": "BPE", "vocab": vocab.index, "merges": merges}}))(folder)


def _unigram(folder: Path) -> Sequence[Path]:
    """A ``.model`` that sentencepiece wrote, as ALBERT's."""
    (folder / "spiece.model").write_bytes((_TESTS / "text" / "sentencepiece" / "albert.model").read_bytes())
    return [folder / "spiece.model"]


def _unigram_json(folder: Path) -> Sequence[Path]:
    """``tokenizer.json`` and the settings."""
    _unigram(folder)
    Tokenizer.load(folder).save(folder)
    return [folder / "tokenizer.json", folder / "tokenizer_config.json"]


_ODD_LINE = "Mr. Bennet (1,813) café ﬁne 😀"


def _read_unigram(folder: Path) -> Any:
    tokenizer = Tokenizer.load(folder)
    return tokenizer.vocab.tokens, tokenizer.method.scores, tokenizer.ids(_ODD_LINE)


def _sentencepiece(name: str) -> Format:
    """A ``.model`` of another kind, as it is read by itself."""
    def write(folder: Path) -> Sequence[Path]:
        (folder / "a.model").write_bytes((_TESTS / "text" / "sentencepiece" / f"{name}.model").read_bytes())
        return [folder / "a.model"]

    return Format(write, lambda folder: SentencePiece.load(folder / "a.model").pieces(_ODD_LINE), (damaged,))


def _fairseq(folder: Path) -> Sequence[Path]:
    vocab, merges = learn_bpe(_SENTENCES, 290)
    tokens = vocab.tokens[5:]
    return [*_file("encoder.json", json.dumps({token: number for number, token in enumerate(tokens)}))(folder),
            *_file("vocab.bpe", "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))(folder),
            *_file("dict.txt", "".join(f"{number} {1000 - number}\n" for number in reversed(range(len(tokens)))))(folder)]


def _read_byte_pairs(folder: Path) -> Any:
    tokenizer = Tokenizer.load(folder)
    return tokenizer.vocab.tokens, tokenizer.method.merges, tokenizer.added


def _state(folder: Path) -> Sequence[Path]:
    config, parameters, tokenizer = examples.tiny()
    progress = loop.Progress(step=3, total=9, positions=((0, 4),), tokens=99)
    checkpoint.save(folder, checkpoint.Checkpoint(options.Settings(), config, tokenizer, "0" * 64, progress, parameters,
                                                  _moments(parameters)))
    return [folder / checkpoint.FILE]


def _read_state(folder: Path) -> Any:
    state = checkpoint.load(folder)
    return state.settings, state.progress, state.config, [x.flat.tobytes() for x in (state.parameters, *state.kept.values())]


def _engine() -> SimpleNamespace:
    _, parameters, _ = examples.tiny()
    kept = _moments(parameters)
    return SimpleNamespace(parameters=parameters, kept=kept, xp=np, optimiser=AdamW(), ema=None, ranks=ALONE, whole=lambda: kept,
                           keep=kept.update, resume=lambda step, loss_scale: None)


def _moments(parameters: Parameters) -> dict[str, Parameters]:
    return {name: parameters.zeros_like() for name in ("m", "v")}


def _finetuning_state(folder: Path) -> Sequence[Path]:
    command.save_state(folder, _engine(), loop.Progress(3, 9, ((0, 4),), 99, 1.5, best=0.5, best_step=3))
    return [folder / checkpoint.FILE]


def _read_finetuning_state(folder: Path) -> Any:
    engine = _engine()
    return command.read_state(folder, engine, Settings(), 8), engine.parameters.flat.tobytes()


def _finetuned(folder: Path) -> Sequence[Path]:
    examples.write(folder, "safetensors")
    task = TASKS["classify"]
    saved.save(folder, saved.begin(folder, task, ["bad", "good"], Settings(max_length=8, text="1", label="2"), 0))
    (folder / command.SETTINGS).write_text(json.dumps({"settings": {"train": "x", "epochs": 2.0}, "data": "0"}), encoding="utf-8")
    return [folder / "config.json", folder / saved.READING, folder / command.SETTINGS]


def _several(folder: Path) -> Sequence[Path]:
    examples.write(folder, "safetensors")
    asked = {"a": saved.Asked(TASKS["classify"], ["bad", "good"], Settings(max_length=8)),
             "b": saved.Asked(TASKS["regress"], ["LABEL_0"], Settings(task="regress", max_length=8))}
    saved.save_several(folder, saved.begin_several(folder, asked, 0))
    tasks = [["classify", "a.tsv", "name=a"], ["regress", "b.tsv", "max-length=8"]]
    (folder / command.SETTINGS).write_text(json.dumps({"settings": {"task": "multi", "tasks": tasks}, "data": "0"}),
                                           encoding="utf-8")
    return [folder / "config.json", folder / saved.READING, folder / command.SETTINGS]


def _read_finetuned(folder: Path, task: str | None = None) -> Any:
    model = saved.load(folder, task=task)
    return command._read_settings(folder), model.labels, model.settings, model.parameters.flat.tobytes()


def _metrics(folder: Path) -> Sequence[Path]:
    row = {"step": 1, "tokens": 100, "seconds": 1.5, "learning_rate": 1e-3, "gradient_norm": 0.5, "mlm_loss": 4.0}
    loop.write_rows(folder / "metrics.csv", [row, {**row, "step": 2, "held_out_mlm_loss": 4.0}])
    return [folder / "metrics.csv"]


def _vectors(folder: Path) -> Sequence[Path]:
    about = {"fingerprint": "k", "reading": json.dumps(Reading(9, 0, 0))}
    tensors.write(folder / "t.vectors.safetensors", {"vectors": np.eye(3, 8, dtype=np.float32)}, about)
    return [folder / "t.vectors.safetensors"]


def _read_vectors(folder: Path) -> Any:
    said: list[str] = []
    kept = search._kept(folder / "t.vectors.safetensors", "k", (3, 8), said.append)
    if kept is None:
        raise ValueError(said[0] if said else "nothing was said")
    return kept[0].tobytes(), kept[1]


def _prepared(name: str) -> Format:
    """Examples for pre-training that the program itself wrote: a file of ``tests/data/prepared``."""
    [source] = _TESTS.glob(f"data/prepared/{name}")

    def write(folder: Path) -> Sequence[Path]:
        (folder / source.name).write_bytes(source.read_bytes())
        return [folder / source.name]

    def read(folder: Path) -> Any:
        found = shards.find([str(folder / source.name)], 0.3, 0)
        wanted = Wanted(Vocabulary.load(source.parent / "vocab.txt"), 24)
        return [[None if x is None else np.asarray(x).tolist() for x in one] for part in (found.train, found.held_out)
                for number in range(len(part.blocks)) for one in part.read(number, wanted)]

    return Format(write, read, (damaged, resealed_record) if source.suffix == ".tfrecord" else (damaged,))


def _text(*parts: str) -> Callable[[Path], Sequence[Path]]:
    """A text in shards of tokens, of which these files are damaged; none: the manifest."""
    def write(folder: Path) -> Sequence[Path]:
        (folder / "a.txt").write_text("\n\n".join(f"{s}\n{s[::-1]}" for s in _SENTENCES), encoding="utf-8")
        examples.tiny()[2].save(folder)
        found, _ = making.make(folder, Texts([folder / "a.txt"], "lines"), 0.3)
        by_part = dict(zip(shard.PARTS, shard.paths(folder, found.shards[0][0])))
        return [by_part[part] for part in parts] or [folder / manifest.FILE]
    return write


def _read_manifest(folder: Path) -> Any:
    found = manifest.read(folder)
    manifest.tokenizer_of(folder, found)
    aside, windows = held_out(folder, found, 0), Windows(folder, found, 0)
    return found, [s.tolist() for part in (aside, windows.read(0, 0)) for document in part for s in document]


def _read_shards(folder: Path) -> Any:
    return {"ids": _read_manifest(folder)[1]}, []


def _read_resealed(folder: Path) -> Any:
    """As if the manifest had been made right again."""
    found = manifest.read(folder)
    one = shard.read(folder, found.shards[0][0], found.vocabulary)
    return [s.tolist() for aside in (True, False) for document in shard.documents_in(one, found.bound, aside) for s in document]


def _trees(sentence: str) -> str:
    """A document of one sentence in CoNLL-U; each word hangs on the one before it."""
    row = "{0}\t{1}\t{1}\tNOUN\t_\tNumber=Sing\t{2}\tdep\t_\tSense=a.1|Scope=2-3|Antecedent=1:2\n"
    return "# newdoc\n" + "".join(row.format(i + 1, word, i) for i, word in enumerate(sentence.split()))


def _read_trees(folder: Path) -> Any:
    return list(subject._of_file(folder / "a.conllu", SimpleNamespace(tokenizer=examples.tiny()[2])))


def _task(task: str, name: str, content: str) -> Format:
    module, settings = TASKS[task], Settings(**asked_for(TASKS[task]))
    return Format(_file(name, content), lambda folder: module.read(folder / name, settings).examples,
                  (damaged, odd_json if name.endswith(("json", "jsonl")) else odd_text))


_WORDS = "the cat raises an exception . a dog sees the tree".split()
_SENTENCES = [" ".join(_WORDS[i:] + _WORDS[:i]) for i in range(len(_WORDS))]
_LABELLED = [(s, ("good", "bad")[i % 2]) for i, s in enumerate(_SENTENCES)]
_SQUAD = {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": s, "qas": [{
    "id": f"q{i}", "question": "who?", "answers": [{"text": "cat", "answer_start": s.index("cat")}], "is_impossible": False}]}
    for i, s in enumerate(_SENTENCES)]}]}
_PROBES = [
    {"unigram_loss": 3.0, "ln_vocabulary": 4.0, "probes": [{"text": "a b", "tokens": ["a", "b"], "position": 1, "truth": "b"}]},
    *({"step": i, "probes": [{"guesses": [["b", 0.5]], "probability": 0.5, "attention": "AAAAAA==", "shape": [1, 1, 2, 2]}]}
      for i in (1, 2))]

FORMATS: dict[str, Format] = {
    **{kind: Format(_weights(kind), _read_weights, (damaged,), verified) for kind, verified in examples.PROTECTED.items()},
    "safetensors, odd header": Format(_weights("safetensors"), _read_weights, (resealed_header,)),
    "safetensors in 8 bits": Format(_in_8_bits, _read_weights, (damaged, resealed_header)),
    "fairseq, a training run": Format(_training_run, _read_training_run, (damaged,)),
    "index of shards": Format(lambda folder: [p for p in examples.write(folder, "sharded") if p.suffix == ".json"], _read_weights,
                              (damaged, odd_json)),
    "torch_zip, resealed": Format(_weights("torch_zip"), _read_weights, (resealed_zip,)),
    "npz, resealed": Format(_weights("npz"), _read_weights, (resealed_zip,)),
    "tensorflow, resealed": Format(_weights("tensorflow"), _read_weights, (resealed_index,)),
    "lightning": _of_peer("lightning", "last.ckpt", verified=True),
    "tensorflow, by TensorFlow": _of_peer("tensorflow", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001",
                                          verified=True),
    "keras, by Keras": _of_peer("keras", "tf_model.h5"),
    "flax, by Flax": _of_peer("flax", "flax_model.msgpack"),
    "paddle, protocol 2": _of_peer("paddle", "protocol2.pdparams"),
    "onnx, written here": Format(_onnx, _read_weights, (damaged,)),
    "onnx, TorchScript": _of_peer("onnx", "torchscript.onnx"),
    "onnx, numbers beside": _of_peer("onnx", "external.onnx", "external.onnx_data"),
    "onnx, in 8 bits": _of_peer("onnx", "int8_channel.onnx"),
    "onnx, in 8 bits, one scale": _of_peer("onnx", "int8_tensor.onnx"),
    "gguf, in 16 bits": _of_peer("gguf", "f16.gguf"),
    "gguf, in 8 bits": _of_peer("gguf", "q8_0.gguf"),
    "gguf, alone": Format(_gguf, _read_gguf, (damaged,)),
    "config.json": Format(_model, lambda folder: pretrained.read_config(folder / "config.json"), (damaged, odd_json)),
    "config.json of relatives": Format(_relatives, _read_relatives, (damaged, odd_json)),
    "vocab.txt": Format(_vocabulary, lambda folder: Tokenizer.load(folder).vocab, (damaged,)),
    "tokenizer.json": Format(_tokenizer_json, lambda folder: Tokenizer.load(folder).vocab.tokens, (damaged, odd_json)),
    "byte pairs": Format(_byte_pairs, _read_byte_pairs, (damaged, odd_json, odd_text)),
    "byte pairs, tokenizer.json": Format(_byte_pairs_json, _read_byte_pairs, (damaged, odd_json)),
    "unigram, .model": Format(_unigram, _read_unigram, (damaged,)),
    "unigram, tokenizer.json": Format(_unigram_json, _read_unigram, (damaged, odd_json)),
    "byte pairs, .model": _sentencepiece("bpe"),
    "unigram with bytes, .model": _sentencepiece("bytes"),
    "byte pairs, fairseq": Format(_fairseq, _read_byte_pairs, (damaged, odd_json, odd_text)),
    "modules.json": Format(_files(modules=[{"type": "Transformer", "path": ""}, {"type": "Pooling", "path": "1_Pooling"},
                                           {"type": "Normalize", "path": "2_Normalize"}],
                                  sentence_bert_config={"max_seq_length": 128, "do_lower_case": False},
                                  **{"1_Pooling__config": {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True,
                                                           "pooling_mode_cls_token": False}}), Pooling.of, (damaged, odd_json)),
    "state of train": Format(_state, _read_state, (damaged, resealed_header)),
    "state of finetune": Format(_finetuning_state, _read_finetuning_state, (damaged, resealed_header)),
    "fine-tuned model": Format(_finetuned, _read_finetuned, (damaged, odd_json)),
    "model of several tasks": Format(_several, partial(_read_finetuned, task="b"), (damaged, odd_json)),
    "metrics.csv": Format(_metrics, lambda folder: loop.read_rows(folder / "metrics.csv"), (damaged, odd_text)),
    "probes.jsonl": Format(_file("probes.jsonl", _lines(_PROBES)), probes.read, (damaged, odd_json)),
    "kept vectors": Format(_vectors, _read_vectors, (damaged, resealed_header)),
    "corpus": Format(_file("text.txt", "\n\n".join("\n".join(f"{s}." for s in _SENTENCES) for _ in range(3)) + "\n"),
                     lambda folder: corpora.read(str(folder / "text.txt")).documents, (damaged, odd_text)),
    "examples, tf.Example": _prepared("reference-*/examples.tfrecord"),
    "examples, tf.Example packed": _prepared("reference-*/packed.tfrecord.gz"),
    "examples, HDF5": _prepared("nvidia-*/examples.hdf5"),
    **({"examples, LDDL": _prepared("lddl-*/masked.parquet")} if find_spec("pyarrow") else {}),
    "text in shards, manifest": Format(_text(), _read_manifest, (damaged, odd_json)),
    "text in shards": Format(_text(*shard.PARTS), _read_shards, (damaged,), verified=True),
    "text in shards, resealed": Format(_text(*shard.PARTS), _read_resealed, (damaged,)),
    "trees, CoNLL-U": Format(_file("a.conllu", "\n".join(map(_trees, _SENTENCES))), _read_trees, (damaged, odd_text)),
    "minimal pairs": Format(_file("a.tsv", "good\tbad\n" + "".join(f"{s}\t{s[::-1]}\n" for s in _SENTENCES)),
                            lambda folder: scoring.read_pairs(folder / "a.tsv"), (damaged, odd_text)),
    "lines": Format(_file("lines.txt", "\n".join(_SENTENCES)), lambda folder: search.read_lines(folder / "lines.txt"),
                    (damaged, odd_text)),
    "classify, TSV": _task("classify", "a.tsv", "".join(f"{s}\t{label}\n" for s, label in _LABELLED)),
    "classify, CSV": _task("classify", "a.csv", "text,label\n" + "".join(f'"{s}, ""so""",{label}\n' for s, label in _LABELLED)),
    "classify, JSON Lines": _task("classify", "a.jsonl", _lines({"text": s, "label": label} for s, label in _LABELLED)),
    "regress, TSV": _task("regress", "a.tsv", "sentence\tscore\n" + "".join(f"{s}\t{len(label)}\n" for s, label in _LABELLED)),
    "tag, CoNLL": _task("tag", "a.conll", "\n\n".join("\n".join(f"{w}\t{'B-X' if w == 'cat' else 'O'}" for w in s.split())
                                                      for s in _SENTENCES) + "\n"),
    "qa, SQuAD": _task("qa", "a.json", json.dumps(_SQUAD)),
    "embed, TSV": _task("embed", "a.tsv", "".join(f"{s}\t{s[::-1]}\tno {s}\n" for s in _SENTENCES)),
    "embed, scores in CSV": _task("embed_scored", "a.csv", "sentence1,sentence2,score\n" + "".join(
        f"{s},{s[::-1]},{i / 2}\n" for i, s in enumerate(_SENTENCES))),
    "choice, JSON Lines": _task("choice", "a.jsonl", _lines({"sent1": "the", "ending0": s, "ending1": "a dog", "label": i % 2}
                                                            for i, s in enumerate(_SENTENCES))),
}
