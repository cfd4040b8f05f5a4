"""Every kernel beside its readable pair: on a GPU where there is one, and everywhere compiled for the CPU by the emulator."""

import inspect
from pathlib import Path

import numpy as np
import pytest

from minibert import kernels
from minibert.kernels import TWINS, cuda
from minibert.layers import dropout, embedding, layernorm
from minibert.layers.dropout import Key, draw
from minibert.numerics import products
from minibert.parameters import NOTHING
from minibert.training import adamw
from tests import device
from tests.kernels import emulator
from tests.kernels.cases import CASES, KEY
from tests.model.examples import distance


def test_sources_are_ascii():
    """CuPy writes a source to a file in the encoding of the system, which on Windows has no Greek letters."""
    sources = [path.stem for path in Path(cuda.__file__).parent.glob("*.cu")]
    assert len(sources) == 8
    assert all(cuda.source(name).isascii() for name in sources)


def there(xp, value, dtype=np.float32):
    """Everything floating on the device in a type; integers as they are."""
    if isinstance(value, np.ndarray):
        return xp.asarray(value.astype(dtype) if value.dtype.kind == "f" else value)
    if isinstance(value, dict):
        return {k: there(xp, v, dtype) for k, v in value.items()}
    return tuple(there(xp, v, dtype) for v in value) if type(value) is tuple else value


def run(xp, case, dtype, twin=True, wanted=True):
    """Output, dx, and gradients of one forward and backward on the device, as float64; and the names of the caches' makers."""
    module, inputs, p, options = case
    forward, backward = (f if twin else f.__wrapped__ for f in (module.forward, module.backward))
    parameters = () if p is None else (there(xp, p, dtype),)
    with kernels.without() if not twin else kernels.without("products"):
        y, cache = forward(*there(xp, inputs, dtype), *parameters, **there(xp, options, dtype))
        dy = there(xp, np.random.default_rng(1).standard_normal(y.shape), dtype)
        g = {k: xp.asarray(np.ones(v.shape, np.float32)) for k, v in (p or {}).items()} if wanted else NOTHING
        dx = backward(dy, cache, *(() if p is None else (*parameters, g)))
    dxs = dx if isinstance(dx, tuple) else (dx,)
    outputs = [y, *dxs]
    assert wanted is False or all(v.dtype == np.float32 for v in g.values())
    values, sums = [a.get().astype(np.float64) for a in outputs], {k: v.get() for k, v in g.items()} if g else {}
    return values, sums, type(cache).__module__, outputs


@pytest.mark.parametrize("name", CASES)
def test_a_twin_gives_the_numbers_of_its_readable_pair(xp, name):
    case = CASES[name](np.random.default_rng(0))
    expected, g, maker, _ = run(xp, case, np.float64, twin=False)
    got, g_got, fused, outputs = run(xp, case, np.float32)
    assert maker.startswith("minibert.layers")
    assert fused == maker.replace("layers", "kernels")
    assert {a.dtype for a in outputs} == {np.dtype(np.float32)}
    for a, b in zip(got, expected, strict=True):
        assert distance(a, b) < 1e-6
    for key in g:
        assert distance(g_got[key] - 1, g[key] - 1) < 2e-6


HALVES = ["add & norm 5×7", "add & norm 6×768", "layer norm 37×36", "attention probabilities T=33",
          "attention probabilities T=128", "bias & gelu 70×512", "dropout of 1000", "cross-entropy 4×1001",
          "cross-entropy 2×30522"]


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", HALVES)
def test_half_precision_loses_only_what_rounding_loses(xp, name, half):
    if half == "bfloat16":
        pytest.importorskip("ml_dtypes")
    dtype = np.dtype(half)
    case = CASES[name](np.random.default_rng(0))
    rounded = case._replace(inputs=tuple(a.astype(dtype).astype(np.float64) if a.dtype.kind == "f" else a for a in case.inputs),
                            p=case.p and {k: v.astype(dtype).astype(np.float64) for k, v in case.p.items()})
    expected, g, *_ = run(xp, rounded, np.float64, twin=False)
    got, g_got, _, outputs = run(xp, rounded, dtype)
    assert {a.dtype for a in outputs if a.ndim} == {dtype}
    eps = {"float16": 2**-11, "bfloat16": 2**-8}[half]
    for a, b in zip(got, expected, strict=True):
        assert distance(a, b) < 2 * eps
    for key in g:
        assert distance(g_got[key] - 1, g[key] - 1) < 2 * eps


def test_nothing_wanted_nothing_summed(emulated):
    case = CASES["add & norm 37×36"](np.random.default_rng(0))
    wanted, *_ = run(emulated, case, np.float32)
    emulator.launched.clear()
    unwanted, *_ = run(emulated, case, np.float32, wanted=False)
    assert "add_columns" not in emulator.launched
    for a, b in zip(wanted, unwanted):
        np.testing.assert_array_equal(a, b)


def test_every_twin_takes_what_its_readable_function_takes():
    assert len(TWINS) >= 14
    for readable in TWINS:
        module, name = readable.__module__.rpartition(".")[2], readable.__name__
        twin = getattr(__import__(f"minibert.kernels.{module}", fromlist=[name]), name)
        ours, theirs = inspect.signature(twin), inspect.signature(readable)
        assert list(ours.parameters.values()) == list(theirs.parameters.values()), f"{module}.{name}"


@pytest.mark.parametrize(("shape", "rate", "key"), [
    ((1,), 0.5, KEY), ((3, 5, 7), 0.1, KEY), ((2, 1024), 0.999, KEY), ((5, 1037), 0.1, Key(0)),
    ((5, 1037), 0.5, Key(-1, 2**40, 5, 2**63 + 9)),
])
def test_masks_are_those_of_the_cpu_bit_by_bit(xp, shape, rate, key):
    y, _ = dropout.forward(xp.asarray(np.ones(shape, np.float32)), rate, key)
    np.testing.assert_array_equal(y.get(), draw(key, shape, rate))


def test_philox_is_numpys(emulated):
    library = emulator.build('#include "emulator.h"\n#define REAL float\n#include "common.cuh"\n'
                             'extern "C" void words(u64* c, u64 k0, u64 k1) { philox(c, k0, k1); }\n',
                             (f"-I{kernels.__path__[0]}",))
    rng = np.random.default_rng(0)
    for counter, key in zip(rng.integers(0, 2**64, (20, 4), np.uint64), rng.integers(0, 2**64, (20, 2), np.uint64)):
        generator = np.random.Philox(key=key, counter=counter)
        expected = generator.random_raw(4)
        c = counter.copy()
        c[0] += np.uint64(1)  # NumPy counts first
        if c[0] == 0:
            continue
        library.words(emulator.ctypes.c_void_p(c.ctypes.data), *(emulator.ctypes.c_uint64(int(k)) for k in key))
        np.testing.assert_array_equal(c, expected)


@pytest.mark.parametrize(("places", "size", "vocabulary"), [
    (1, 1, 1), (2, 30, 1), (15, 30, 2), (16, 30, 1), (17, 30, 1), (40, 128, 50), (300, 30, 2), (300, 128, 50), (700, 1, 1),
    (700, 30, 2), (700, 30, 50), (700, 30, 5000),
])
def test_rows_of_equal_id_are_summed(xp, places, size, vocabulary):
    rng = np.random.default_rng(places)
    ids, rows = rng.integers(0, vocabulary, places), rng.standard_normal((places, size)).astype(np.float32)
    tables = [xp.asarray(np.ones((vocabulary, size), np.float32)) for _ in range(2)]
    for table in tables:
        embedding.add_rows(table, xp.asarray(ids), xp.asarray(rows))
    expected = np.ones((vocabulary, size))
    np.add.at(expected, ids, rows)
    assert distance(tables[0].get(), expected) < 1e-6
    np.testing.assert_array_equal(tables[0].get(), tables[1].get())


def test_rows_in_half_precision_are_summed_in_full(xp):
    rows = np.full((4000, 8), 1, np.float16)
    table = xp.asarray(np.zeros((3, 8), np.float32))
    embedding.add_rows(table, xp.asarray(np.full(4000, 2)), xp.asarray(rows))
    np.testing.assert_array_equal(table.get(), [[0] * 8, [0] * 8, [4000] * 8])  # float16 would stop at 2048
    narrow = xp.asarray(np.zeros((4000, 8), np.float16))
    embedding.add_rows(narrow, xp.asarray(np.arange(4000)[::-1].copy()), xp.asarray(rows))
    assert (narrow.get() == 1).all()


def test_no_launch_waits_for_the_host(emulated):
    with device.watch() as waits:
        ids, rows = emulated.asarray(np.array([1, 1, 4])), emulated.ones((3, 8), np.float32)
        embedding.add_rows(emulated.zeros((5, 8), np.float32), ids, rows)
    assert waits == []


HEADS = pytest.mark.parametrize(("batch", "heads"), [(1, 1), (1, 3), (3, 1), (2, 5), (5, 2)])


@HEADS
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_products_read_heads_where_they_are(xp, batch, heads, dtype):
    """The six products of attention: both operands in every layout that occurs there, and none of them copied."""
    tokens, size = 6, 4
    rng = np.random.default_rng(0)

    def split():
        x = xp.asarray(rng.standard_normal((batch, tokens, heads * size)).astype(dtype))
        return x.reshape(batch, tokens, heads, size).transpose(0, 2, 1, 3)

    q, k = split(), split()
    weights = xp.asarray(rng.standard_normal((batch, heads, tokens, tokens)).astype(dtype))
    for a, b, merged in ((q, k.transpose(0, 1, 3, 2), False), (weights, k, True), (weights.transpose(0, 1, 3, 2), k, True)):
        emulator.launched.clear()
        y = products.matmul(a, b)
        assert not emulator.launched or emulator.launched == ["gemm"] * min(batch, heads)
        expected = a.get().astype(np.float64) @ b.get().astype(np.float64)
        assert distance(y.get(), expected) < (1e-6 if dtype == "float32" else 1e-3)
        if merged:
            assert y.transpose(0, 2, 1, 3).flags.c_contiguous


@pytest.mark.parametrize("shape", [(2, 3, 4, 0), (0, 3, 4, 5)])
def test_products_of_nothing(xp, shape):
    a = xp.asarray(np.ones(shape, np.float32))
    y = products.matmul(a, a.transpose(0, 1, 3, 2))
    assert y.shape == (*shape[:2], shape[2], shape[2])
    assert not y.get().any()


def test_an_argument_of_the_wrong_type_does_not_pass_unnoticed(emulated):
    """The emulator checks what a GPU would take on trust."""
    module = emulator.RawModule(code='extern "C" __global__ void half(float* x, long long n) { x[0] = n / 2; }', options=())
    x = emulated.zeros(1, np.float32)
    with pytest.raises(TypeError, match="argument 1"):
        module.get_function("half")((1,), (1,), (x, np.int32(4)))
    with pytest.raises(AssertionError, match="takes not 1 arguments"):
        module.get_function("half")((1,), (1,), (x,))
    module.get_function("half")((1,), (1,), (x, np.int64(4)))
    assert x.get() == [2]


def test_threads_that_wait_forever_are_an_error(emulated):
    module = emulator.RawModule(
        code='extern "C" __global__ void part(float* x) { if (threadIdx.x < 31) __shfl_sync(0xffffffffu, x[0], 0); '
             'else while (true) emulator::wait(emulator::block_barrier); }', options=())
    with pytest.raises(AssertionError, match="never come"):
        module.get_function("part")((1,), (32,), (emulated.zeros(1, np.float32),))


def test_float64_takes_the_readable_pair(xp):
    x = xp.asarray(np.ones((2, 4)))
    p = {"weight": x[0], "bias": x[0]}
    _, cache = layernorm.forward(x, p)
    assert type(cache) is layernorm.Cache


def test_switched_off_for_one_and_for_all(xp):
    x = xp.asarray(np.ones((2, 4), np.float32))
    p = {"weight": x[0], "bias": x[0]}
    with kernels.without("layernorm"):
        _, cache = layernorm.forward(x, p)
    assert type(cache) is layernorm.Cache
    with kernels.without():
        _, cache = layernorm.forward(x, p)
    assert type(cache) is layernorm.Cache
    y, cache = layernorm.forward(x, p)
    assert type(cache) is not layernorm.Cache
    with kernels.without():
        layernorm.backward(y, cache, p, NOTHING)  # what forward chose holds
    with pytest.raises(ValueError, match="no twins in softmax"), kernels.without("softmax"):
        pass


def slabs(xp, rng, size):
    """p, g, m and v of an optimiser in the middle of its work."""
    return [xp.asarray(a.astype(np.float32)) for a in (*rng.standard_normal((3, size)), rng.random(size))]


TABLE = [adamw.Run(0, 3, True), adamw.Run(3, 20_001, True, 0.5), adamw.Run(20_001, 20_100, True, active=False),
         adamw.Run(20_100, 40_007, False)]


def test_the_norm_of_a_slab(xp):
    _, g, *_ = slabs(xp, np.random.default_rng(0), 40_010)
    active = np.concatenate([g.get()[run.start:run.stop] for run in TABLE if run.active]).astype(np.float64)
    for _ in range(2):  # the counter of blocks is as it was before
        norm = adamw.norm(g, TABLE)
        assert norm.shape == ()
        assert float(norm) == pytest.approx(np.linalg.norm(active), rel=1e-6)


@pytest.mark.parametrize(("number", "scale", "correct"), [(1, None, True), (7, 0.3, True), (7, 0.3, False)])
def test_a_step_of_a_slab(xp, number, scale, correct):
    ours = slabs(xp, np.random.default_rng(0), 40_010)
    theirs = [a.get().astype(np.float64) for a in ours]
    constants = adamw.AdamW(weight_decay=0.1, bias_correction=correct)
    for known in (True, False):
        counted = number if known else xp.full((), number, np.float32)
        adamw.step(*ours, TABLE, 0.01, counted, constants, None if scale is None else xp.full((), scale, np.float32))
        adamw.step(*theirs, TABLE, 0.01, number, constants, scale)
        for a, b in zip(ours, theirs):
            assert distance(a.get(), b) < 1e-6
        number += 1
        for slab in (ours, theirs):
            slab[1] += 1  # the gradient was zeroed


def test_a_step_that_is_skipped_moves_nothing(xp):
    ours = slabs(xp, np.random.default_rng(0), 40_010)
    ours[1][5] = float("inf")
    before = [a.get() for a in ours]
    adamw.step(*ours, TABLE, 0.01, 3, adamw.DEFAULT, 0.5, xp.full((), True))
    for a, b in zip((ours[0], *ours[2:]), (before[0], *before[2:])):
        np.testing.assert_array_equal(a.get(), b)
    g = ours[1].get()
    assert not g[:20_001].any()
    assert g[20_001:20_100].all(), "an inactive run is not touched"
