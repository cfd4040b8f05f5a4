"""Examples for pre-training by the programs that made such files first, each run from a copy of its repository.

    python -m tools.peers.pretraining_data reference PLACE  google-research/bert; needs tensorflow-cpu
    python -m tools.peers.pretraining_data nvidia PLACE     NVIDIA/DeepLearningExamples, PyTorch/LanguageModeling/BERT; h5py
    python -m tools.peers.pretraining_data lddl PLACE       NVIDIA/LDDL; dask[dataframe], distributed, nltk, transformers
"""

from __future__ import annotations

import datetime
import json
import random
import shutil
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from tools.peers import common

FILES = Path(__file__).parents[2] / "tests" / "data" / "prepared"
TEXT = "\n\n".join("\n".join(f"{'abcdefgh'[i + j]} the {'xyz'[j % 3]} raises an exception bcd ." for j in range(4))
                   for i in range(4))
LENGTH, PREDICTIONS, SEED = 24, 4, 12345


def folder(name: str, package: str) -> Path:
    """An empty folder, named after the writer and the library that wrote the bytes, with the text's vocabulary in it."""
    from tests.tiny_model import TOKENS

    path = common.folder(name, package, FILES)
    (path / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    return path


def finish(path: Path, instances: list[dict[str, Any]], repository: str, packages: list[str]) -> None:
    """What the program put into the files, as it has it in memory, and who wrote them."""
    (path / "text.txt").unlink(missing_ok=True)
    (path / "instances.json").write_text(json.dumps(instances, indent=1) + "\n", encoding="utf-8")
    (path / "README.md").write_text(
        f"Examples that {repository} made of a few lines of text, and wrote with "
        f"{', '.join(f'{package} {version(package)}' for package in packages)} on {datetime.date.today()}. "
        "`instances.json` holds them as the program had them in memory.\n", encoding="utf-8")


def instance(one: Any) -> dict[str, Any]:
    names = ("tokens", "segment_ids", "masked_lm_positions", "masked_lm_labels", "is_random_next")
    return {name: getattr(one, name) for name in names}


def reference() -> None:
    import tensorflow

    sys.modules["tensorflow"] = tensorflow.compat.v1  # the program is of TensorFlow 1
    program, tokenization = import_module("create_pretraining_data"), import_module("tokenization")
    path = folder("reference", "tensorflow_cpu")
    tokenizer = tokenization.FullTokenizer(vocab_file=str(path / "vocab.txt"), do_lower_case=True)
    (path / "text.txt").write_text(TEXT + "\n", encoding="utf-8")
    found = program.create_training_instances([str(path / "text.txt")], tokenizer, LENGTH, 1, 0.1, 0.15, PREDICTIONS,
                                              random.Random(SEED))
    program.write_instance_to_example_files(found, tokenizer, LENGTH, PREDICTIONS, [str(path / "examples.tfrecord")])
    with tensorflow.io.TFRecordWriter(str(path / "packed.tfrecord.gz"), options="GZIP") as writer:
        for record in tensorflow.data.TFRecordDataset(str(path / "examples.tfrecord")):
            writer.write(record.numpy())
    finish(path, [instance(one) for one in found], "google-research/bert", ["tensorflow_cpu"])


def nvidia() -> None:
    for name in ("boto3", "botocore", "botocore.exceptions"):  # for downloads
        sys.modules[name] = ModuleType(name)
    sys.modules["botocore.exceptions"].ClientError = Exception
    program, tokenization = import_module("create_pretraining_data"), import_module("tokenization")
    path = folder("nvidia", "h5py")
    tokenizer = tokenization.BertTokenizer(str(path / "vocab.txt"), do_lower_case=True, max_len=512)
    (path / "text.txt").write_text(TEXT + "\n", encoding="utf-8")
    found = program.create_training_instances([str(path / "text.txt")], tokenizer, LENGTH, 1, 0.1, 0.15, PREDICTIONS,
                                              random.Random(SEED))
    program.write_instance_to_example_file(found, tokenizer, LENGTH, PREDICTIONS, str(path / "examples.hdf5"))
    finish(path, [instance(one) for one in found], "NVIDIA/DeepLearningExamples", ["h5py"])


def lddl() -> None:
    import dask.bag
    import pyarrow.parquet

    sys.modules["lddl.dask.bert.binning"] = SimpleNamespace(  # for bins, with parts of dask that are gone
        to_textfiles_binned=None, to_dataframe_binned=None, to_parquet_binned=None)
    sys.modules["lddl.dask.readers"] = SimpleNamespace(  # for corpora
        read_wikipedia=None, read_books=None, read_common_crawl=None, split_id_text=None, estimate_block_size=None)
    program = import_module("lddl.dask.bert.pretrain")
    path = folder("lddl", "pyarrow")
    lines = [part.replace("bcd", "b ##c ##d").split("\n") for part in TEXT.split("\n\n")]
    documents = [program.Document(str(i), [program.Sentence(line.split()) for line in some]) for i, some in enumerate(lines)]
    words = (path / "vocab.txt").read_text(encoding="utf-8").split()
    told = []
    for masking in (False, True):
        random.seed(SEED)
        pairs = [pair for i in range(len(documents)) for pair in program.create_pairs_from_document(
            documents, i, max_seq_length=LENGTH, masking=masking, vocab_words=words)]
        name = "masked" if masking else "plain"
        if masking:  # dask of today refuses a column of bytes, so the file has the program's schema, and is pyarrow's alone
            schema = pyarrow.schema([
                ("A", pyarrow.string()), ("B", pyarrow.string()), ("is_random_next", pyarrow.bool_()),
                ("num_tokens", pyarrow.uint16()), ("masked_lm_positions", pyarrow.binary()),
                ("masked_lm_labels", pyarrow.string())])
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(pairs, schema), path / "masked.parquet")
        else:
            program._save_parquet(dask.bag.from_sequence(pairs, npartitions=1), str(path / name), masking=masking)
            [written] = (path / name).glob("*.parquet")
            written.rename(path / f"{name}.parquet")
            shutil.rmtree(path / name)
        for pair in pairs:
            if masking:
                pair["masked_lm_positions"] = program.deserialize_np_array(pair["masked_lm_positions"]).tolist()
            told.append({"file": name, **pair})
    finish(path, told, "NVIDIA/LDDL", ["pyarrow", "dask"])


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[2])
    {"reference": reference, "nvidia": nvidia, "lddl": lddl}[sys.argv[1]]()
