"""How long a checkpoint takes to load, and what that takes at its peak, beside transformers, where it reads it.

A model is a size of BERT, in every format; FAMILY:SIZE, in the formats that transformers reads; or a folder, as it is. Random
weights but for a folder's. Each rival is a process that loads the model and drops it, without its tokenizer, turn by turn. The
clock is the processor's time, which other work on the machine does not lengthen as it does the wall's; both are written.
transformers maps safetensors and new PyTorch files and reads them when they are first used, without a look at their checksums; so
there is a second kind of turn, in which every weight is then summed once. minibert reads with all cores that it may use, whatever
``--threads`` says: its processor's time adds up. ``first``: from the start of the process, imports too.

The peak counts from where everything is imported. The bound is 1.2 times the weights in float32 plus the largest tensor: whoever
keeps a second copy is beyond it. Files come from the page cache.

    python -m benchmarks.loading                # base in every format: 440 MB each, one at a time
    python -m benchmarks.loading mini roberta:base DIR --rounds 3
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import common
from minibert import pretrained
from minibert.config import PRESETS
from minibert.model import pretraining
from minibert.pretrained import families, npz, tensors
from minibert.text import Tokenizer, Vocabulary
from minibert.text.vocabulary import SPECIAL
from tests.pretrained import examples, writers

Arrays = dict[str, np.ndarray]


def _torch(path: Path, arrays: Arrays, new: bool) -> None:
    import torch

    torch.save({name: torch.from_numpy(x) for name, x in arrays.items()}, path, _use_new_zipfile_serialization=new)


def _shards(path: Path, arrays: Arrays) -> None:
    places = {name: f"model-{i % 4 + 1:05}-of-00004.safetensors" for i, name in enumerate(arrays)}
    for file in sorted(set(places.values())):
        tensors.write(path.parent / file, {name: x for name, x in arrays.items() if places[name] == file}, {"format": "pt"})
    path.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")


def _flax(path: Path, arrays: Arrays) -> None:
    writers.flax(path, {examples.flax(name): x.T if examples.flax(name).endswith(".kernel") else x for name, x in arrays.items()})


def _paddle(path: Path, arrays: Arrays) -> None:
    writers.paddle(path, {examples.paddle(name): np.ascontiguousarray(x.T) if x.ndim == 2 and "embeddings" not in name else x
                          for name, x in arrays.items()})


#: Format -> the file, its writer, and whether transformers reads it.
FORMATS: dict[str, tuple[str, Callable[[Path, Arrays], None], bool]] = {
    "safetensors": ("model.safetensors", lambda path, arrays: tensors.write(path, arrays, {"format": "pt"}), True),
    "PyTorch, zip": ("pytorch_model.bin", lambda path, arrays: _torch(path, arrays, True), True),
    "PyTorch, before 1.6": ("pytorch_model.bin", lambda path, arrays: _torch(path, arrays, False), True),
    "safetensors, 4 shards": ("model.safetensors.index.json", _shards, True),
    "npz": ("bert_model.npz", npz.write, False),
    "Keras": ("tf_model.h5", lambda path, arrays: writers.keras(path, examples.keras(arrays)), False),
    "Flax": ("flax_model.msgpack", _flax, False),
    "PaddlePaddle": ("model_state.pdparams", _paddle, False),
}


KINDS = {0: "load", 1: "load and sum"}


def make(folder: Path, model: str, format: str) -> None:
    """A folder with a random model."""
    family, _, size = model.rpartition(":")
    config = families.preset(family or "bert", size)
    file, write, _ = FORMATS[format]
    (folder / "config.json").write_text(families.to_json(config), encoding="utf-8")
    write(folder / file, families.names(config).written(dict(pretraining.initial_parameters(config).items())))


def _any_tokenizer(folder: Path) -> Tokenizer:
    """With as many words as the model has."""
    words = pretrained.read_config(folder / "config.json").vocab_size
    return Tokenizer(Vocabulary([*SPECIAL, *map(str, range(words - len(SPECIAL)))]))


def serve(folder: str, rival: str) -> None:
    """Two kinds of turns: to load; to load, and to sum every weight."""
    if rival == "transformers":
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()
        named = (json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get("architectures") or ["BertModel"])[0]
        model = getattr(transformers, named)  # what is imported late is imported now

        def load() -> object:
            return model.from_pretrained(folder, dtype=torch.float32)

        common.serve(load, lambda: [float(x.detach().sum()) for x in load().parameters()])
    else:
        tokenizer = _any_tokenizer(Path(folder))

        def load() -> object:
            return pretrained.load(folder, tokenizer=tokenizer)

        common.serve(load, lambda: [float(x.sum()) for _, x in load().parameters.items()])


def bound(folder: Path) -> int:
    """Bytes that loading may take at its peak."""
    parameters = pretrained.load(folder, tokenizer=_any_tokenizer(folder)).parameters
    return int(1.2 * parameters.flat.nbytes) + max(x.nbytes for _, x in parameters.items())


def measure(folder: Path, threads: int, rounds: int, theirs: bool) -> dict[str, object]:
    """Of each rival: seconds of its turns, the processor's, those of its first turn with all before it, and its peak."""
    command = "benchmarks.loading", str(folder), "--threads", str(threads), "--serve"
    rivals = {name: common.Rival(*command, name) for name in ("minibert", "transformers")[:1 + theirs]}
    turns = [(name, kind) for name in rivals for kind in KINDS]
    first, peak, seconds, cpu = {}, {}, {turn: [] for turn in turns}, {turn: [] for turn in turns}
    for name, rival in rivals.items():
        rival.turn()
        first[name] = rival.cpu_in_all
    for number in range(rounds):
        for name, kind in turns[number % len(turns):] + turns[:number % len(turns)]:
            seconds[name, kind].append(rivals[name].turn(kind))
            cpu[name, kind].append(rivals[name].cpu)
    for name, rival in rivals.items():
        peak[name] = rival.close() - rival.peak_before
    return {"first": first, "peak": peak, **{f"{key}, {KINDS[kind]}": {name: times[name, kind] for name in rivals}
                                             for key, times in (("seconds", seconds), ("cpu", cpu)) for kind in KINDS}}


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["base"], help=f"of {', '.join(PRESETS)}; FAMILY:SIZE; a folder")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS), metavar="FORMAT", help="some alone")
    parser.add_argument("--serve", help=common.argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, help=common.argparse.SUPPRESS)
    parser.add_argument("--bound", action="store_true", help=common.argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    [model, *_] = options.models
    if options.serve:
        return serve(model, options.serve)
    if options.make:
        return make(Path(model), *options.make)
    if options.bound:
        return print(bound(Path(model)))
    common.need("torch", "transformers", "h5py")
    where = common.machine(options.threads)
    print(common.describe(where), flush=True)
    rows = []
    for model in options.models:
        for format in ["as it is"] if Path(model).is_dir() else [name for name in options.formats
                                                                if FORMATS[name][2] or ":" not in model]:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(model) if format == "as it is" else Path(temporary)
                if format != "as it is":
                    _run(folder, "--make", model, format)
                row = measure(folder, options.threads, options.rounds, format not in FORMATS or FORMATS[format][2])
                rows.append({"model": model if format != "as it is" else folder.name, "format": format,
                             "bound": int(_run(folder, "--bound")), **row})
            common.progress(f"{model}, {format}")
    common.progress("")
    print()
    common.table(["model", "format", "CPU seconds: minibert", "transformers", "ratio", "and summed: minibert", "transformers",
                  "ratio", "first: minibert", "transformers", "GB at peak", "of the bound", "transformers' GB"], [
        [row["model"], row["format"], *_pair(row["cpu, load"]), *_pair(row["cpu, load and sum"]), row["first"]["minibert"],
         row["first"].get("transformers"), row["peak"]["minibert"] / 1e9, row["peak"]["minibert"] / row["bound"],
         row["peak"]["transformers"] / 1e9 if "transformers" in row["peak"] else None] for row in rows])
    path = common.write("loading", where, rows, options.json)
    print(f"\nfigures: {path}")


def _run(folder: Path, *options: str) -> str:
    """A process for what would raise the peak of those that come after it: a child begins with its parent's."""
    command = [sys.executable, "-m", "benchmarks.loading", str(folder), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout


def _pair(cpu: dict[str, list[float]]) -> tuple[float, float | None, float | None]:
    """Ours, theirs, and theirs by ours."""
    ours, theirs = cpu["minibert"], cpu.get("transformers")
    return common.median(ours), common.median(theirs) if theirs else None, common.ratio(theirs, ours) if theirs else None


if __name__ == "__main__":
    main()
