"""The checker itself: what it passes, what the complex step refuses, what its messages say, how exact it is."""

import numpy as np
import pytest

import gradcheck
from gradcheck import GradientError, Pair, check, ucurve

RNG = np.random.default_rng(3)
X = RNG.standard_normal((3, 4))

square = Pair(lambda x: (x * x, x), lambda dy, x: 2 * dy * x)


def test_the_call_of_the_docstring():
    from minibert.layers import layernorm

    result = gradcheck.check(layernorm, {"x": X}, {"weight": RNG.standard_normal(4), "bias": RNG.standard_normal(4)})
    assert result.ok
    assert result.name == "layernorm"
    assert result.shapes == {"x": (3, 4), "weight": (4,), "bias": (4,)}
    assert result.inputs == ("x",)
    assert result.outputs == {"y": (3, 4)}
    assert result.worst("central") < 1e-9
    assert result.worst("complex") < 1e-14


def test_messages_name_function_array_index_and_both_numbers():
    def backward(dy, x):
        dx = 2 * dy * x
        dx[1, 2] += 0.5
        return dx

    with pytest.raises(GradientError) as caught:
        check(Pair(square.forward, backward), {"x": X}, name="square")
    message = str(caught.value)
    assert message.startswith("square: the gradient of x is wrong")
    upstream = np.random.default_rng([0, 1]).standard_normal((3, 4))
    expected = 2 * upstream[1, 2] * X[1, 2]
    assert f"worst            x[1, 2]: got {expected + 0.5:.12g}, expected {expected:.12g}" in message
    assert "wrong elements   1 of 12, shape of x (3, 4)" in message
    error = 0.5 / np.linalg.norm(2 * upstream * X)
    assert f"{error:.1e} by central differences: wrong (allowed 1e-07, step 1e-04)" in message
    assert f"{error:.1e} by complex step: wrong (allowed 1e-12, step 1e-30)" in message
    assert caught.value.result.errors["complex"]["x"] == pytest.approx(error)
    assert isinstance(caught.value, AssertionError)


def test_every_wrong_array_is_reported():
    def backward(dy, cache, p, g):
        a, b = cache
        g["w"] += (dy * a * b).sum((0, 1)) * 3
        return dy * b * p["w"], -dy * a * p["w"]

    layer = Pair(lambda a, b, p: (a * b * p["w"], (a, b)), backward)
    with pytest.raises(GradientError) as caught:
        check(layer, {"a": X, "b": X + 1}, {"w": np.array(0.7)}, name="product")
    assert len(caught.value.result.failures) == 2
    message = str(caught.value)
    assert "product: the gradient of b is wrong" in message
    assert "backward gives -1 times what it should" in message
    assert "product: the gradient of w is wrong" in message
    assert "backward gives 3 times what it should" in message
    assert "right            a" in message


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda x: np.abs(x), "forward returns real numbers where complex ones went in"),
        (lambda x: x.real * 1.0, "forward returns real numbers"),
        (lambda x: x * np.linalg.norm(x), "a forward that is not analytic, since central differences agree"),
        (lambda x: _into_a_buffer(x), "forward cannot take complex numbers"),
        (lambda x: np.where(x.real > 0, x, -x), None),
    ],
    ids=["abs", "real", "norm", "buffer", "where"],
)
def test_functions_that_are_not_analytic(forward, reason):
    def backward(dy, x):  # the Jacobian by central differences, so that only the complex step can object
        columns = []
        for i in range(x.size):
            e = np.zeros(x.shape, x.dtype)
            e.flat[i] = 1e-3
            columns.append(((forward(x + e) - forward(x - e)) / 2e-3 * dy).sum())
        return np.array(columns, x.dtype).reshape(x.shape)

    x = np.array([[0.7, -1.3, 2.1]])
    layer = Pair(lambda x: (forward(x), x.copy()), backward)
    loose = {"central": 1e-5, "complex": 1e-5}
    if reason is None:  # a branch that looks at the real part is fine
        assert check(layer, {"x": x}, tolerance=loose).ok
        return
    with pytest.raises(GradientError, match=reason):
        check(layer, {"x": x}, tolerance=loose)
    assert check(layer, {"x": x}, tolerance=loose, methods=("central",)).worst("complex") is None


def _into_a_buffer(x):
    y = np.empty(x.shape, np.float32 if x.dtype == np.float32 else np.float64)
    y[...] = x * 2
    return y


def test_several_outputs_get_different_upstream_gradients():
    def backward(dy, x, swapped=False):
        a, b = (dy["b"], dy["a"]) if swapped else (dy["a"], dy["b"])
        return a * np.cos(x) - b * np.sin(x)

    def forward(x):
        return {"a": np.sin(x), "b": np.cos(x)}, x

    assert check(Pair(forward, backward), {"x": X}).outputs == {"y.a": (3, 4), "y.b": (3, 4)}
    with pytest.raises(GradientError):
        check(Pair(forward, lambda dy, x: backward(dy, x, swapped=True)), {"x": X})


def test_whole_numbers_are_not_differentiated_but_watched():
    def forward(x, ids):
        return x[ids] * 1.0, (x, ids)

    def backward(dy, cache):
        x, ids = cache
        dx = np.zeros_like(x)
        np.add.at(dx, ids, dy)
        return dx

    ids = np.array([2, 0, 2])
    assert list(check(Pair(forward, backward), {"x": X, "ids": ids}).shapes) == ["x"]

    def careless(x, ids):
        y = forward(x, ids.copy())
        ids += 1
        return y

    with pytest.raises(GradientError, match=r"forward changes ids: ids\[0\] is 0 before, 1 after"):
        check(Pair(careless, backward), {"x": X, "ids": np.array([0, 0, 1])})


def test_tied_parameters_are_one():
    w = RNG.standard_normal(4)

    def backward(dy, x, p, g):
        g["a"]["w"] += (dy * x).sum(0) * p["b"]["w"]
        g["b"]["w"] += (dy * x).sum(0) * p["a"]["w"]
        return dy * p["a"]["w"] * p["b"]["w"]

    layer = Pair(lambda x, p: (x * p["a"]["w"] * p["b"]["w"], x), backward)
    assert list(check(layer, {"x": X}, {"a": {"w": w}, "b": {"w": w}}).shapes) == ["x", "a.w"]
    assert list(check(layer, {"x": X}, {"a": {"w": w}, "b": {"w": w + 0}}).shapes) == ["x", "a.w", "b.w"]


def test_random_directions_find_one_wrong_element_of_many():
    def backward(dy, x):
        dx = 2 * dy * x
        dx[17, 3] *= 1.001
        return dx

    x = RNG.standard_normal((30, 20))
    assert check(square, {"x": x}, directions=3).directions == 3
    with pytest.raises(GradientError, match=r"x along random direction \d: got"):
        check(Pair(square.forward, backward), {"x": x}, directions=3)


def test_calls_that_make_no_sense():
    with pytest.raises(TypeError, match="'x' must be a NumPy array, got list"):
        check(square, {"x": [1.0, 2.0]})
    with pytest.raises(ValueError, match="both called 'x'; rename the input"):
        check(square, {"x": X}, {"x": X})
    with pytest.raises(ValueError, match=r"zero=\{'z': 'x'\} names no array; there are: x"):
        check(square, {"x": X}, zero={"z": "x"})


def test_the_ucurve_is_a_u():
    cube = Pair(lambda x: (np.exp(x), np.exp(x)), lambda dy, y: dy * y)
    steps = np.array([1e-18, 1e-12, 1e-9, 6e-6, 1e-3, 1e-1])
    curve = ucurve(cube, {"x": X}, steps=steps)
    two, four, imaginary = curve["two points"], curve["central"], curve["complex"]
    assert two[0] == 1  # x + h is x: the measured gradient is zero
    assert (np.diff(two[:4]) < 0).all()
    assert (np.diff(two[3:]) > 0).all()
    assert two[3] < 1e-9
    assert four[4] < two.min()
    assert (imaginary[:3] < 1e-15).all()
    assert imaginary[5] > 1e-4
    assert set(ucurve(cube, {"x": X}, steps=steps, methods=("central",))) == {"step", "two points", "central"}
