"""The normal distribution: its density φ and its distribution function Φ, which GELU is made of. NumPy has neither.

::

    φ(x) = exp(-x²/2)/√(2π)        Φ(x) = ½·(1 + erf(x/√2))        Φ'(x) = φ(x)

Φ is odd around ½ and shaped like a tanh: ``Φ(x) = ½·(1 + tanh(h(x)))`` with h(x) = ½·log(Φ(x)/Φ(-x)), an odd function that is
smooth enough for a short polynomial. Two terms of it are the "tanh form" of GELU. The seven terms in ``_TANH`` minimise the
largest error of Φ: 3e-8 on the whole line, which is half a rounding step of float32. That is the float32 way: one tanh and seven
multiplications, about twice as fast as a rational erf.

float64, and the complex numbers of gradient checks, take erf to 1e-15 from the rational approximations of W. J. Cody, "Rational
Chebyshev approximations for the error function", Mathematics of Computation 23 (1969): one for the middle, one for the tails.
They are analytic on either side of the seam, and the choice looks at the real part only.
"""

from __future__ import annotations

from math import pi, sqrt

from minibert.backend import Array, get_xp

# h(x) = x·(c₀ + c₁x² + … + c₆x¹²), fitted on [0, 5.6] by linear programming on the error of Φ.
_TANH = (0.797884941, 0.0363330846, -3.2594981e-05, -5.53061921e-05, 3.9647442e-06, -1.32263325e-07, 1.75617036e-09)

# erf(y) = y·A(y²)/B(y²) for |y| ≤ 0.46875, and 1 - exp(-y²)·C(y)/D(y) above; highest power first.
_A = (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3)
_B = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_C = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2,
      8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3)
_D = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
      3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3)


def pdf(x: Array) -> Array:
    """φ(x), x of any shape and floating dtype."""
    y = x * x
    y *= -0.5
    get_xp(x).exp(y, out=y)
    y *= 1 / sqrt(2 * pi)
    return y


def cdf(x: Array) -> Array:
    """Φ(x), x of any shape and floating dtype. Absolute error below 1e-7 in float32 and 1e-15 in float64."""
    y = _tanh_of_h(x) if x.dtype.itemsize <= 4 else _erf(x * sqrt(0.5))
    y += 1.0
    y *= 0.5
    return y


def _tanh_of_h(x: Array) -> Array:
    """2Φ(x) - 1 for float32 and narrower."""
    xp = get_xp(x)
    x = x.clip(-6, 6)  # beyond, Φ is 0 or 1 to the last digit; the polynomial is not made for it
    return xp.tanh(x * _polynomial(_TANH[::-1], x * x))


def _erf(x: Array) -> Array:
    """erf(x) for float64 and complex128."""
    xp = get_xp(x)
    sign = xp.where(x.real < 0, -1.0, 1.0)
    y = x * sign
    y = xp.where(y.real > 6, 6.0, y)  # erf(6) is 1 to the last digit
    middle = y * _polynomial(_A, y * y) / _polynomial(_B, y * y)
    tail = 1 - xp.exp(-y * y) * _polynomial(_C, y) / _polynomial(_D, y)
    return sign * xp.where(y.real <= 0.46875, middle, tail)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Horner's rule, highest power first."""
    first, second, *rest = coefficients
    y = x * first
    y += second
    for c in rest:
        y *= x
        y += c
    return y
