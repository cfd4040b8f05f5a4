"""How long a checkpoint of each format takes to load, and what that takes at its peak; transformers too, where it reads it.

Each is a process that loads and drops the model, turn by turn, without its tokenizer; its peak counts from where it had imported
everything. The bound is 1.2 times the weights in float32 plus the largest tensor: whoever keeps a second copy is beyond it. Files
come from the page cache.

    python -m benchmarks.loading                # base: 440 MB in each format, some 3 GB of disk while it runs
    python -m benchmarks.loading mini --rounds 3
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import common
from minibert import pretrained
from minibert.config import PRESETS, BertConfig
from minibert.model import pretraining
from minibert.pretrained import npz, tensors
from minibert.text import Tokenizer, Vocabulary
from minibert.text.vocabulary import SPECIAL
from tests.pretrained import examples, writers

Arrays = dict[str, np.ndarray]


def _torch(path: Path, arrays: Arrays, new: bool) -> None:
    import torch

    torch.save({name: torch.from_numpy(x) for name, x in arrays.items()}, path, _use_new_zipfile_serialization=new)


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
    "npz": ("bert_model.npz", npz.write, False),
    "Keras": ("tf_model.h5", lambda path, arrays: writers.keras(path, examples.keras(arrays)), False),
    "Flax": ("flax_model.msgpack", _flax, False),
    "PaddlePaddle": ("model_state.pdparams", _paddle, False),
}


def make(folder: Path, preset: str) -> int:
    """A folder for each format, with the same random model. The bound in bytes."""
    config = BertConfig.preset(preset)
    parameters = pretraining.initial_parameters(config)
    arrays = dict(parameters.items())
    tokenizer = Tokenizer(Vocabulary([*SPECIAL, *map(str, range(config.vocab_size - len(SPECIAL)))]))
    for name, (file, write, _) in FORMATS.items():
        where = folder / name
        where.mkdir()
        (where / "config.json").write_text(config.to_json(), encoding="utf-8")
        tokenizer.save(where)
        write(where / file, arrays)
    return int(1.2 * parameters.flat.nbytes) + max(x.nbytes for x in arrays.values())


def serve(folder: str, competitor: str) -> None:
    if competitor == "transformers":
        import transformers

        transformers.utils.logging.disable_progress_bar()
        model = transformers.BertForPreTraining  # what is imported late is imported now
        common.serve(lambda: model.from_pretrained(folder))
    else:
        tokenizer = Tokenizer.load(folder)
        common.serve(lambda: pretrained.load(folder, tokenizer=tokenizer))


def measure(folder: Path, threads: int, rounds: int, bound: int) -> list[dict[str, object]]:
    rows = []
    for name, (_, _, theirs) in FORMATS.items():
        results = {}
        for competitor in ("minibert", "transformers") if theirs else ("minibert",):
            options = (str(folder / name), "--threads", str(threads), "--serve", competitor)
            floor = common.Rival("benchmarks.loading", *options).close()  # imports, and no turn
            rival = common.Rival("benchmarks.loading", *options)
            results[competitor] = [rival.turn() for _ in range(rounds)], rival.close() - floor
        seconds, peak = results["minibert"]
        their_seconds, their_peak = results.get("transformers", (None, None))
        rows.append({"format": name, "seconds": seconds, "peak": peak, "bound": bound, "their_seconds": their_seconds,
                     "their_peak": their_peak})
        common.progress(name)
    common.progress("")
    return rows


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.add_argument("preset", nargs="?", default="base", help=f"of {', '.join(PRESETS)}")
    parser.add_argument("--serve", help=common.argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=common.argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    if options.serve:
        return serve(options.preset, options.serve)
    if options.make:
        return print(make(options.make, options.preset))
    common.need("torch", "transformers", "h5py")
    where = common.machine(options.threads)
    print(common.describe(where), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "benchmarks.loading", options.preset, "--make", temporary]
        bound = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # a process hands on its peak
        rows = measure(Path(temporary), options.threads, options.rounds, bound)
    print()
    common.table(["format", "seconds", "transformers ÷ minibert", "GB at peak", "of the bound", "transformers' GB"], [
        [row["format"], common.median(row["seconds"]),
         common.median(row["their_seconds"]) / common.median(row["seconds"]) if row["their_seconds"] else None,
         row["peak"] / 1e9, row["peak"] / bound, row["their_peak"] / 1e9 if row["their_peak"] else None] for row in rows])
    path = common.write("loading", where, rows, options.json)
    print(f"\nfigures: {path}")


if __name__ == "__main__":
    main()
