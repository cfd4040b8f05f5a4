"""Every CUDA source compiles, for every type and for several generations of GPUs, with NVIDIA's compiler and no GPU."""

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
def cupy():
    """CuPy with NVIDIA's compiler and CUDA's headers; no GPU is needed for these."""
    module = pytest.importorskip("cupy", reason="no CuPy: pip install -e .[kernels]", exc_type=ImportError)
    try:
        from cupy_backends.cuda.libs import nvrtc

        nvrtc.getVersion()
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"no compiler: pip install -e .[kernels] ({str(error).splitlines()[0]})")
    folders = [Path(o[2:]) for o in module._core.core.assemble_cupy_compiler_options(()) if o.startswith("-I")]
    if not any((folder / "cuda_bf16.h").is_file() for folder in folders):
        pytest.skip("no CUDA headers: pip install -e .[kernels]")
    return module


def build(cupy, text, target, *options):
    """What is made for a target (``sm_90`` machine code, ``compute_90`` assembly) with CuPy's options, and the log."""
    from cupy_backends.cuda.libs import nvrtc

    options = cupy._core.core.assemble_cupy_compiler_options((*cuda.OPTIONS, *options))
    program = nvrtc.createProgram(text, "kernels.cu", (), ())
    try:
        try:
            nvrtc.compileProgram(program, (*options, f"-arch={target}"))
        except nvrtc.NVRTCError:
            raise AssertionError(nvrtc.getProgramLog(program)) from None
        get = nvrtc.getCUBIN if target.startswith("sm_") else nvrtc.getPTX
        return get(program), nvrtc.getProgramLog(program)
    finally:
        nvrtc.destroyProgram(program)


def options_of(name, real):
    macros = SHAPES[name].get(real, SHAPES[name].get(""))
    return [f"-D{key}={value}" for key, value in {"REAL": real, **macros}.items()]


def test_every_source_is_here():
    assert {path.stem for path in Path(cuda.__file__).parent.glob("*.cu")} == set(SHAPES)


@pytest.mark.parametrize(("name", "real", "architecture"), BUILDS)
def test_a_source_compiles_and_its_numbers_stay_in_registers(cupy, name, real, architecture):
    code, log = build(cupy, cuda.source(name), f"sm_{architecture}", *options_of(name, real), "--ptxas-options=-v")
    assert code
    assert set(re.findall(r"(\d+) bytes spill stores", log)) == {"0"}, log


@pytest.mark.parametrize("real", cuda.REALS.values())
@pytest.mark.parametrize("name", ["add_norm", "bias_gelu", "cross_entropy", "dropout", "embedding"])
def test_loads_and_stores_are_sixteen_bytes_wide(cupy, name, real):
    code, _ = build(cupy, cuda.source(name), "compute_90", *options_of(name, real))
    text = code.decode() if isinstance(code, bytes) else code
    assert re.search(r"ld\.global(\.nc)?\.(v4\.[bfu]32|v2\.[bfu]64)", text)
    assert re.search(r"st\.global(\.cg)?\.(v4\.[bfu]32|v2\.[bfu]64)", text)


def test_a_mistake_does_not_compile(cupy):
    with pytest.raises(AssertionError, match="identifier"):
        build(cupy, "__global__ void k() { nonsense(); }", "sm_90")
