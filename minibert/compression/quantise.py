"""A model with its matrices in 8 bits: a quarter of the file, and numbers that are off by half a step at most.

NumPy has no product of whole numbers that is as fast as that of float32. So the matrices are float32 again when the model is
open: it then takes as much memory and as much time as before. What is gained is room on the disk and on the way there.

Only minibert opens the folder; ``minibert convert`` makes one of it that others open, with the rounded numbers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from minibert.compression.options import Settings
from minibert.convert import Copy, Format, convert
from minibert.pretrained import families, formats, in_8_bits, tensors


def _write(path: Path, it: Copy) -> None:
    tensors.write(path, in_8_bits.packed(families.names(it.config).written(it.arrays)), {"format": "minibert, 8 bits"})


INT8 = Format("model.safetensors", _write)


def run(args: argparse.Namespace, recipe: Settings) -> int:
    """Do what ``compress quantise`` asks for. The exit code."""
    for line in convert(recipe.teacher, args.out, INT8, weights=recipe.weights):
        print(line)
    files = formats.of(Path(recipe.teacher), recipe.weights), Path(args.out, INT8.file)
    before, after = (file.stat().st_size for file in files)
    print(f"{before:,} bytes -> {after:,}; open, the model is as large and as fast as before.")
    return 0
