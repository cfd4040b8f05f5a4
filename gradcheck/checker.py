"""Is this backward the derivative of that forward? Ask the forward.

A *layer* is anything with two functions, a module for instance:

    forward(inputs…, p, …) -> (y, cache)        backward(dy, cache, p, g) -> dx

``check`` turns it into a scalar L = Σ u·y with a fixed random u, the upstream gradient (never ones: the outputs of
a softmax or a layer norm add up to a constant, and a backward that returns nonsense passes). Then ∂L/∂x, which
``backward(u)`` claims to know, is measured by moving x a little and watching L:

    two points              D(h) = (L(x + h) - L(x - h)) / 2h      + O(h²)      best at h = ε^(1/3), about 1e-10: a larger h
                                                                                bends, at a smaller one the digits cancel
    central differences     (4·D(h) - D(2h)) / 3                   + O(h⁴)      what bends cancels: best near ε^(1/5), about 1e-12
    complex step            Im L(x + ih) / h                       + O(h²)      analytic functions only; nothing is subtracted,
                                                                                so h may be 1e-30, and all digits are right

For an analytic function L(x + ih) = L(x) + ih·L'(x) - h²·L''(x)/2 - …: the derivative arrives alone in the imaginary
part. Source: Squire and Trapp 1998, "Using complex variables to estimate derivatives of real functions".

Two arrays are compared by ‖backward - measured‖ / ‖measured‖, one number for each input and each parameter. Everything
runs in float64. The promises around the gradient are checked too (``_check_contract``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Tree = Any  # arrays in nested dicts, lists, tuples and named tuples

EPS = float(np.finfo(np.float64).eps)
STEP = {
    "two points": EPS ** (1 / 3),  # truncation, h², and cancellation, ε/h, are equal
    "central": 1e-4,  # below ε^(1/5), where h⁴ and ε/h are equal: layer norms bend sharply where a variance is small
    "complex": 1e-30,  # any h with h² far below ε; far from underflow
}
TOLERANCE = {"central": 1e-7, "complex": 1e-12}
EXPLAINED = 5  # arrays that get a message of their own, the last first: one slip makes wrong all that lies before it
METHOD = {"central": "central differences", "complex": "complex step"}
METHODS = tuple(METHOD)


class Pair(NamedTuple):
    """A forward and a backward that are not together in one module: an adapter, or a layer under construction."""

    forward: Callable
    backward: Callable


class GradientError(AssertionError):
    """A layer failed its check. ``result`` holds every number that was measured."""

    def __init__(self, result: Result):
        super().__init__("\n\n".join(result.failures))
        self.result = result


@dataclass
class Result:
    """What ``check`` measured.

    ``errors[method][array]`` is the relative error; ``shapes`` holds the shape of every array that was checked, inputs
    first, ``inputs`` their names; ``failures`` the messages, none if all is well.
    """

    name: str
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    directions: int | None = None
    errors: dict[str, dict[str, float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failures

    def worst(self, method: str) -> float | None:
        """The largest relative error by one method over all arrays; None where the method was not used."""
        return max(self.errors[method].values(), default=0.0) if method in self.errors else None


def check(
    layer: Any,
    inputs: dict[str, Array],
    params: Tree = None,
    *,
    name: str | None = None,
    options: dict[str, Any] | None = None,
    methods: Sequence[str] = METHODS,
    directions: int | None = None,
    zero: dict[str, str] | None = None,
    nothing: Any = None,
    overwrites_dy: bool = False,
    tolerance: dict[str, float] | None = None,
    seed: int = 0,
) -> Result:
    """Check ``layer.backward`` against ``layer.forward``: the result, or ``GradientError`` with a readable message.

    layer        anything with ``forward(*inputs, params, **options) -> (y, cache)`` and
                 ``backward(dy, cache, params, g) -> dx``; without ``params`` both drop it, and backward drops ``g``.
                 ``y`` is an array or a tree of arrays, each of which gets an upstream gradient of its own, and ``dy``
                 has the same form; ``dx`` is an array, a tuple in the order of the inputs, or a dict by their names.
    inputs       name -> array, in the order forward takes them. Floating arrays are differentiated; others, ids and
                 masks, are only watched.
    params       nested dict of floating arrays; ``g`` has the same structure. Dotted paths are their names.
    methods      how to measure. Complex step needs a forward that runs on complex arrays; central differences need one
                 without kinks (of a ReLU, say), across which they see neither the one slope nor the other.
    directions   None: every element, one at a time. A number: so many random directions for each array.
    zero         {array: other}: a gradient that mathematics makes zero, measured by the norm of the other's gradient.
    nothing      a ``g`` that swallows parameter gradients; ``dx`` must be the same with it.
    overwrites_dy  the docstring of backward says that it may write into ``dy``.
    tolerance    largest relative error by method; ``TOLERANCE`` by default.

    Raises TypeError or ValueError where the call itself makes no sense (a list for an array, two arrays of one name).
    """
    name = name or getattr(layer, "__name__", type(layer).__name__).rpartition(".")[2]
    allowed, result = TOLERANCE | (tolerance or {}), Result(name, directions=directions)
    try:
        run = _Run(layer, inputs, params, options or {}, zero or {}, seed)
        result.shapes, result.inputs = {k: x.shape for k, x in run.arrays.items()}, tuple(run.wanted)
        result.outputs = run.outputs
        gradients = _check_contract(run, nothing, overwrites_dy)
        claimed = run.project(gradients, directions)
        for method in methods:
            result.errors[method] = run.compare(claimed, run.measure(method, directions))
    except _Broken as broken:
        result.failures.append(f"{name}: {broken}")
        raise GradientError(result) from broken.__cause__

    wrong = [k for k in run.arrays if any(not errors[k] <= allowed[m] for m, errors in result.errors.items())]
    first = wrong if len(wrong) <= EXPLAINED else wrong[: -EXPLAINED - 1 : -1]
    result.failures += [_explain(result, run, k, gradients[k], wrong, allowed) for k in first]
    if others := [k for k in wrong if k not in first]:
        result.failures.append(f"{name}: wrong too, further from the output: {', '.join(others)}")
    if wrong:
        raise GradientError(result)
    return result


def ucurve(
    layer: Any,
    inputs: dict[str, Array],
    params: Tree = None,
    *,
    steps: Array | None = None,
    methods: Sequence[str] = METHODS,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    **_: Any,
) -> dict[str, Array]:
    """Relative error of each method against the step size: ``{"step": …, "two points": …, "central": …, "complex": …}``.

    All are (N,). The error is ‖backward - measured‖ / ‖backward‖ over all arrays together, so the backward must be right.
    Arguments are those of ``check``; what only concerns its verdict is accepted and ignored.
    """
    steps = np.logspace(-20, -0.5, 59) if steps is None else np.asarray(steps)
    run = _Run(layer, inputs, params, options or {}, {}, seed)
    directions = max(1, 24 // len(run.arrays))  # of each array: enough for a smooth curve
    gradients = run.gradients()
    exact = _flat(run.project(gradients, directions))
    curve = {"step": steps}
    for method in ("two points", *methods) if "central" in methods else methods:
        found = [_flat(run.measure(method, directions, h)) for h in steps]
        curve[method] = np.array([np.linalg.norm(exact - b) / np.linalg.norm(exact) for b in found])
    return curve


# --- measuring -------------------------------------------------------------------------------------------------------


class _Broken(Exception):
    """A promise of the layer that does not hold; the message says which."""


class _Run:
    """A layer with its arguments and upstream gradient fixed: L as a function of the arrays at one point."""

    def __init__(self, layer: Any, inputs: dict, params: Tree, options: dict, zero: dict[str, str], seed: int):
        self.layer, self.options, self.zero, self.seed = layer, options, zero, seed
        for k, x in [*inputs.items(), *_leaves(params, "")]:
            if not isinstance(x, np.ndarray):
                raise TypeError(f"{k!r} must be a NumPy array, got {type(x).__name__}")
        self.wanted = [k for k, x in inputs.items() if _is_float(x)]
        self.point = _cast((dict(inputs), params), np.float64)
        self.arrays = self._arrays(self.point)
        for k, other in zero.items():
            if k not in self.arrays or other not in self.arrays:
                raise ValueError(f"zero={{{k!r}: {other!r}}} names no array; there are: {', '.join(self.arrays)}")
        y = self.forward(_copy(self.point))[0]  # a copy: whether forward changes it is yet to be seen
        self.outputs = {k: np.shape(y) for k, y in _leaves(y, "y")}
        rng = np.random.default_rng([seed, 1])
        self.upstream = _map(lambda y: rng.standard_normal(np.shape(y)) if _is_float(y) else None, y)

    def _arrays(self, point: Tree) -> dict[str, Array]:
        """Everything that gets a gradient, by name: floating inputs, then parameters."""
        inputs, params = point
        params = dict(_once(_leaves(params, "")))
        if both := params.keys() & inputs.keys():
            raise ValueError(f"an input and a parameter are both called {min(both)!r}; rename the input")
        return {k: inputs[k] for k in self.wanted} | params

    def forward(self, point: Tree) -> tuple[Tree, Any]:
        inputs, params = point
        answer = self.layer.forward(*inputs.values(), *([] if params is None else [params]), **self.options)
        if not (isinstance(answer, tuple) and len(answer) == 2):
            raise _Broken(f"forward must return (y, cache), got {type(answer).__name__}")
        return answer

    def backward(self, dy: Tree, cache: Any, point: Tree, g: Tree) -> dict[str, Array]:
        """The gradients of the floating inputs by name, in the shapes of the inputs."""
        inputs, params = point
        dx = self.layer.backward(dy, cache) if params is None else self.layer.backward(dy, cache, params, g)
        if not isinstance(dx, dict):
            dx = tuple(d for d in (dx if isinstance(dx, tuple) else (dx,)) if d is not None)
            if len(dx) != len(self.wanted):
                names = ", ".join(self.wanted) or "none"
                raise _Broken(f"backward returns {len(dx)} gradients; floating inputs that want one: {names}")
            dx = dict(zip(self.wanted, dx))
        for k in self.wanted:
            if dx.get(k) is None:
                raise _Broken(f"backward returns no gradient of {k}")
            if np.shape(dx[k]) != (shape := inputs[k].shape):
                raise _Broken(f"the gradient of {k} has shape {np.shape(dx[k])}, expected {shape}, as {k} itself")
        return {k: dx[k] for k in self.wanted}

    def gradients(self) -> dict[str, Array]:
        """What backward claims, by name."""
        g = _map(np.zeros_like, self.point[1])
        dx = self.backward(_copy(self.upstream), self.forward(self.point)[1], self.point, g)
        return _copy(dx) | dict(_leaves(g, ""))

    def measure(
        self, method: str, directions: int | None, step: float | None = None, only: str | None = None
    ) -> dict[str, Array]:
        """∂L/∂array by ``method``: in the array's shape, or (directions,) derivatives along random directions."""
        point = _cast(self.point, np.complex128 if method == "complex" else np.float64)
        found = {}
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            for k, x in self._arrays(point).items():
                if only in (None, k):
                    slopes = [self._slope(method, point, x, d, step) for d in self.directions(k, directions)]
                    found[k] = np.array(slopes).reshape(x.shape if directions is None else (-1,))
        return found

    def directions(self, k: str, directions: int | None) -> Iterator[Array]:
        """The ways in which one array is moved: its elements one by one, or random unit vectors, the same each time."""
        x = self.arrays[k]
        rng = np.random.default_rng([self.seed, 2, *k.encode()])
        for i in range(x.size if directions is None else directions):
            d = np.zeros(x.shape) if directions is None else rng.standard_normal(x.shape)
            if directions is None:
                d.flat[i] = 1.0
            yield d / np.sqrt((d * d).sum())

    def _slope(self, method: str, point: Tree, x: Array, d: Array, step: float | None) -> float:
        """dL/dt of x + t·d at t = 0. ``x`` is an array of ``point``; it is moved in place and put back."""
        here = x.copy()
        h = step or STEP[method]
        if method != "complex":
            h *= max(1.0, np.max(np.abs(here), where=d != 0, initial=0))  # relative to what is moved

        def outputs(t: complex) -> list[Array]:
            x[...] = here + t * d
            try:
                ys = _leaves(self.forward(point)[0], "y")
                return [np.array(y) for _, y in ys if _is_float(y)]  # copies: y may be a view of x
            except (np.exceptions.ComplexWarning, TypeError) as error:
                if method != "complex":
                    raise
                raise _Broken(NOT_ANALYTIC.format(f"forward cannot take complex numbers ({error})")) from error
            finally:
                x[...] = here

        def difference(h: float) -> list[Array]:  # for each output: what did not move cancels exactly
            return [(up - down) / (2 * h) for up, down in zip(outputs(h), outputs(-h))]

        if method == "two points":
            moved = difference(h)
        elif method == "central":
            moved = [(4 * near - far) / 3 for near, far in zip(difference(h), difference(2 * h))]
        else:
            ys = outputs(1j * h)
            if any(y.dtype.kind == "f" for y in ys):
                raise _Broken(NOT_ANALYTIC.format("forward returns real numbers where complex ones went in"))
            moved = [y.imag / h for y in ys]
        upstream = [u for _, u in _leaves(self.upstream, "u")]
        return float(sum((u * m).sum() for u, m in zip(upstream, moved)))

    def project(self, gradients: dict[str, Array], directions: int | None) -> dict[str, Array]:
        """Gradients as ``measure`` sees them: themselves, or their components along the random directions."""
        if directions is None:
            return gradients
        arrays = [k for k in self.arrays if k in gradients]
        return {k: np.array([(gradients[k] * d).sum() for d in self.directions(k, directions)]) for k in arrays}

    def compare(self, claimed: dict[str, Array], measured: dict[str, Array]) -> dict[str, float]:
        """Relative error of every array."""
        errors = {}
        for k, b in measured.items():
            a = claimed[k]
            if k in self.zero:  # both sides against zero, on the scale of a gradient that is not
                difference, scale = max(_norm(a), _norm(b)), _norm(measured[self.zero[k]])
            else:
                difference, scale = _norm(a - b), _norm(b)
            errors[k] = difference / scale if scale else (np.inf if difference else 0.0)
        return errors


NOT_ANALYTIC = """the complex step is impossible: {}
  look for         abs, norm, var, float(), .real, or a buffer made without result_type
  or say           methods=("central",), if forward cannot be written without them"""


# --- the promises around the gradient --------------------------------------------------------------------------------


def _check_contract(run: _Run, nothing: Any, overwrites_dy: bool) -> dict[str, Array]:
    """The gradients that backward claims, once the layer keeps its promises:

    forward leaves its inputs and parameters alone; backward leaves its cache alone (and ``dy`` unless announced), gives
    the same when called again, adds to ``g`` and does not overwrite it, and needs no ``g``; float32 stays float32.
    """
    point, (inputs, params) = run.point, run.point
    with _watch("forward changes", inputs, p=params):
        y, cache = run.forward(point)

    def backward(g: Tree) -> dict[str, Array]:
        written = [w for _, w in _leaves(g, "")]  # a cache may carry the caller's list of blocks, and in it their g
        kept = {k: x for k, x in _leaves(cache, "cache") if not any(np.may_share_memory(x, w) for w in written)}
        dy = _copy(run.upstream)
        with _watch("backward changes", kept, p=params, dy=None if overwrites_dy else dy):
            return _copy(run.backward(dy, cache, point, g))

    g = _map(np.zeros_like, params)
    dx = backward(g)
    first = dx | dict(_leaves(g, ""))

    again = _map(np.zeros_like, params)
    second = backward(again) | dict(_leaves(again, ""))
    for k in first:
        if not np.array_equal(first[k], second[k], equal_nan=True):
            change = _differ(k, first[k], second[k], "{}, then {}")
            raise _Broken(f"backward called twice with the same cache gives two gradients of {k}: {change}")

    rng = np.random.default_rng([run.seed, 3])
    before = _map(lambda x: rng.standard_normal(x.shape), params)
    after = _copy(before)
    backward(after)
    for (k, start), (_, end) in zip(_leaves(before, ""), _leaves(after, "")):
        if not np.allclose(end - start, first[k], rtol=1e-9, atol=1e-9 * (1 + np.abs(first[k]).max(initial=0))):
            raise _Broken(
                f"backward does not add to the gradient of {k} that it finds in g: "
                f"{_differ(f'g[{k}]', start + first[k], end, 'expected {}, got {}')}\n"
                f"  look for         = where += belongs"
            )

    if nothing is not None and params is not None:
        without = backward(nothing)
        for k in dx:
            if not np.array_equal(dx[k], without[k], equal_nan=True):
                change = _differ(k, dx[k], without[k], "{} with, {} without")
                raise _Broken(f"the gradient of {k} is another when parameter gradients are not wanted: {change}")

    narrow = _cast(point, np.float32)
    y, cache = run.forward(narrow)
    dx = run.backward(_cast(run.upstream, np.float32), cache, narrow, _map(np.zeros_like, narrow[1]))
    named = {f"the gradient of {k}": v for k, v in dx.items()} | dict([*_leaves(y, "y"), *_leaves(cache, "cache")])
    for k, x in named.items():
        if _is_float(x) and x.dtype != np.float32:
            hint = "a NumPy scalar or a float64 array where a Python float belongs"
            raise _Broken(f"float32 in, but {k} is {x.dtype}\n  look for         {hint}")
    return first


class _watch:
    """Raise if anything in the trees changes inside the ``with`` block."""

    def __init__(self, what: str, named: dict[str, Array] | None = None, **trees: Tree):
        self.what, self.arrays = what, [*(named or {}).items(), *_leaves(trees, "")]

    def __enter__(self) -> None:
        self.before = [np.array(x) for _, x in self.arrays]

    def __exit__(self, kind: Any, *_: Any) -> None:
        for (k, x), old in zip(self.arrays, self.before):
            if kind is None and not np.array_equal(x, old, equal_nan=old.dtype.kind in "fc"):
                raise _Broken(f"{self.what} {k}: {_differ(k, old, x)}")


def _differ(k: str, old: Array, new: Array, words: str = "{} before, {} after") -> str:
    i = np.unravel_index(np.argmax(np.nan_to_num(np.abs(old * 1.0 - new), nan=np.inf)), np.shape(old))
    return f"{_element(k, i)} is " + words.format(f"{old[i]:.6g}", f"{new[i]:.6g}")


# --- the message -----------------------------------------------------------------------------------------------------


def _explain(result: Result, run: _Run, k: str, a: Array, wrong: list[str], allowed: dict[str, float]) -> str:
    """One array and what is wrong with ``a``, its gradient, so that the reader knows where to look."""
    agree = [m for m, errors in result.errors.items() if errors[k] <= allowed[m]]
    method = [m for m in result.errors if m not in agree][-1]  # the most exact one that objects
    directions = result.directions if a.size > 200 else None  # a small array can be looked at element by element
    b = run.measure(method, directions, only=k)[k]
    a = run.project({k: a}, directions)[k]
    i = np.unravel_index(np.argmax(np.nan_to_num(np.abs(a - b), nan=np.inf)), b.shape)
    off = int((~(np.abs(a - b) <= 10 * allowed[method] * (np.abs(b) + _norm(b) / np.sqrt(b.size)))).sum())
    where = _element(k, i) if directions is None else f"{k} along random direction {i[0]}"
    unit = "elements" if directions is None else "directions"
    lines = [f"{result.name}: the gradient of {k} is wrong", ""]
    for m, errors in result.errors.items():
        verdict = "right" if m in agree else "wrong"
        limit = f"allowed {allowed[m]:.0e}, step {STEP[m]:.0e}"
        lines.append(f"  relative error   {errors[k]:.1e} by {METHOD[m]}: {verdict} ({limit})")
    lines.append(f"  worst            {where}: got {a[i]:.12g}, expected {b[i]:.12g}")
    lines.append(f"  wrong {unit:<10} {off} of {b.size}, shape of {k} {result.shapes[k]}")
    if hint := _looks_like(a, b, agree, k in run.zero):
        lines.append(f"  looks like       {hint}")
    if right := [other for other in result.shapes if other not in wrong]:
        lines.append(f"  right            {', '.join(right[:7])}" + f" and {len(right) - 7} more" * (len(right) > 7))
    return "\n".join(lines)


def _looks_like(a: Array, b: Array, agree: list[str], should_be_zero: bool) -> str:
    """The commonest slips, recognised by their traces in ``a``, what backward gives, and ``b``, what was measured."""
    if agree:
        return f"a forward that is not analytic, since {METHOD[agree[0]]} agree: look for abs, norm, var, .real"
    if should_be_zero:
        return "a term that should cancel and does not"
    if not np.isfinite(a).all():
        return "a division by zero or an overflow: backward gives nan or inf"
    if not a.any():
        return "a gradient that backward never computes: it is zero throughout"
    if _norm(b) <= 1e-9 * _norm(a):
        return "a dependence that forward does not have: the measured gradient is zero throughout"
    if _norm(a) <= 1e-9 * _norm(b) or _norm(b) < 1e-9:
        return "a gradient that mathematics makes zero; if so, name it in zero={…}"
    factor = (a * b).sum() / (b * b).sum()
    if _norm(a - factor * b) <= 1e-6 * _norm(a) < _norm(a - b):
        return f"a factor: backward gives {factor:.6g} times what it should, everywhere"
    if a.ndim == 2 and a.shape[0] == a.shape[1] and _norm(a.T - b) <= 1e-6 * _norm(b):
        return "a transposed matrix"
    for axis in range(a.ndim):
        if a.shape[axis] > 1 and np.ptp(a - b, axis=axis).max() <= 1e-6 * _norm(a - b):
            return f"a missing sum or mean: the difference is constant along axis {axis}"
    return ""


# --- trees of arrays -------------------------------------------------------------------------------------------------


def _map(f: Callable, tree: Tree, done: dict[int, Array] | None = None) -> Tree:
    """The same tree with ``f`` of every array; other things stay. Tied arrays, one object in two places, stay tied."""
    done = {} if done is None else done
    if isinstance(tree, dict):
        return {k: _map(f, v, done) for k, v in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_map(f, v, done) for v in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(_map(f, v, done) for v in tree)
    if not isinstance(tree, (np.ndarray, np.generic)):
        return tree
    if id(tree) not in done:
        done[id(tree)] = f(tree)
    return done[id(tree)]


def _leaves(tree: Tree, path: str) -> Iterator[tuple[str, Array]]:
    """Every array in the tree with its dotted path."""
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, tuple) and hasattr(tree, "_fields"):
        items = zip(tree._fields, tree)
    elif isinstance(tree, (tuple, list)):
        items = enumerate(tree)
    else:
        if isinstance(tree, (np.ndarray, np.generic)):
            yield path, tree
        return
    for k, value in items:
        yield from _leaves(value, f"{path}.{k}" if path else str(k))


def _once(leaves: Iterator[tuple[str, Array]]) -> Iterator[tuple[str, Array]]:
    """Tied arrays under their first name only."""
    seen = set()
    for k, x in leaves:
        if id(x) not in seen:
            seen.add(id(x))
            yield k, x


def _cast(tree: Tree, dtype: Any) -> Tree:
    """A copy of the tree with its floating arrays in ``dtype``."""
    return _map(lambda x: np.array(x, dtype=dtype if _is_float(x) else x.dtype), tree)


def _copy(tree: Tree) -> Tree:
    return _map(np.array, tree)


def _flat(arrays: dict[str, Array]) -> Array:
    return np.concatenate([x.ravel() for x in arrays.values()])


def _is_float(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(bool)).kind in "fc"


def _norm(x: Array) -> float:
    return float(np.sqrt((x * x).sum()))


def _element(k: str, index: tuple[int, ...]) -> str:
    return f"{k}[{', '.join(str(int(i)) for i in index)}]" if index else k
