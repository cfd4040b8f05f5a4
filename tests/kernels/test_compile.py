"""Every CUDA source compiles, for every type and for several generations of GPUs, with NVIDIA's compiler and no GPU."""

import importlib.util
import os
import re
from pathlib import Path

import pytest

from minibert.kernels import cuda

ARCHITECTURES = ("75", "80", "90", "120")  # Turing, Ampere, Hopper, Blackwell
SHAPES = {  # as BERT-base asks for: rows of 768, 128 and 30,522 numbers
    "add_norm": {"float": {"WIDTH": 4, "PIECES": 6, "PARAMETER_WIDTH": 2}, "": {"WIDTH": 8, "PIECES": 3, "PARAMETER_WIDTH": 2}},
    "attention_probs": {"float": {"WIDTH": 4, "PIECES": 1}, "": {"WIDTH": 4, "PIECES": 1}},
    "bias_gelu": {"float": {"WIDTH": 4}, "": {"WIDTH": 8}},
    "cross_entropy": {"float": {"WIDTH": 4}, "": {"WIDTH": 8}},
    "dropout": {"float": {"WIDTH": 4}, "": {"WIDTH": 8}},
    "embedding": {"float": {"WIDTH": 4, "TABLE": "float"}, "": {"WIDTH": 8, "TABLE": "float"}},
    "adamw": {"float": {}},
    "columns": {"float": {}},
}
BUILDS = [(name, real, architecture) for name, shapes in SHAPES.items() for real in cuda.REALS.values()
          for architecture in ARCHITECTURES if (real in shapes or "" in shapes) and (architecture == "90" or real == "float")]


@pytest.fixture(scope="module")
def nvrtc():
    """The compiler, and the folder of CUDA's headers."""
    compiler = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="no CuPy: pip install -e .[kernels]",
                                   exc_type=ImportError)
    found = importlib.util.find_spec("nvidia.cuda_runtime")
    folders = [Path(p) / "include" for p in (found.submodule_search_locations if found else ())]
    folders += [Path(os.environ.get("CUDA_PATH", "/usr/local/cuda")) / "include"]
    include = next((f for f in folders if (f / "cuda_fp16.h").is_file()), None)
    if include is None:
        pytest.skip("no CUDA headers: pip install -e .[kernels]")
    return compiler, include


def build(nvrtc, text, architecture, *options):
    """The machine code and what the compiler said."""
    compiler, include = nvrtc
    program = compiler.createProgram(text, "kernels.cu", (), ())
    try:
        try:
            compiler.compileProgram(program, (*cuda.OPTIONS, f"-arch=sm_{architecture}", f"-I{include}", *options))
        except compiler.NVRTCError:
            raise AssertionError(compiler.getProgramLog(program)) from None
        return compiler.getCUBIN(program), compiler.getProgramLog(program)
    finally:
        compiler.destroyProgram(program)


def test_every_source_is_here():
    assert {path.stem for path in Path(cuda.__file__).parent.glob("*.cu")} == set(SHAPES)


@pytest.mark.parametrize(("name", "real", "architecture"), BUILDS)
def test_a_source_compiles_and_its_numbers_stay_in_registers(nvrtc, name, real, architecture):
    macros = SHAPES[name].get(real, SHAPES[name].get(""))
    options = [f"-D{key}={value}" for key, value in {"REAL": real, **macros}.items()]
    code, log = build(nvrtc, cuda.source(name), architecture, *options, "--ptxas-options=-v")
    assert code
    assert set(re.findall(r"(\d+) bytes spill stores", log)) == {"0"}, log


def test_a_mistake_does_not_compile(nvrtc):
    with pytest.raises(AssertionError, match="identifier"):
        build(nvrtc, "__global__ void k() { nonsense(); }", "90")
