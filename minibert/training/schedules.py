"""Schedules: the learning rate of a step. ``(step, peak, warmup, total) -> rate``, for steps from 1 to ``total``.

All of them rise in a line to ``peak`` over the first ``warmup``, a share of the steps. Then::

    linear        falls in a line from the peak, and would reach zero after the last step
    polynomial    peak·(1 - step/total)^power
    square-root   the same with a power of ½
    constant      stays there
    plateau       falls slowly, to 0.9·peak: peak·(0.9 + 0.1·(1 - step/total)^½)
    inverse-square-root    1/√step where that is less than the peak, and the peak where it is not: Adafactor's relative step
    trapezoid     stays there for four fifths of the steps, then falls in a line to zero; also called WSD
    trapezoid-square-root  the same with a fall as 1 - √x, x from 0 to 1: steep at first

A polynomial counts from the first step and not from the end of the warm-up. So the rate *jumps down* there, to the share
(1 - warmup)^power: from 6e-3 to 5.08e-3 in NVIDIA's first phase, whose warm-up is 0.2843 of the steps. The last step's rate is 0.
BERT's reference jumps as well, with a power of 1 (and counts steps from 0); ``linear`` leaves the jump out, as most do today.

Source: reference ``optimization.py``, ``create_optimizer``; NVIDIA DeepLearningExamples, PyTorch BERT, ``schedulers.py``,
``PolyWarmUpScheduler``; plateau: google-research ``mobilebert/distill_util.py``, of each layer's part of a run; Shazeer and Stern
2018, "Adafactor", section 9; Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations"
(arXiv 2405.18392), section 3, with a fifth of the steps for the fall.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from minibert.training.adamw import learning_rate
from minibert.training.course import Course

Schedule = Callable[[int, float, float, int], float]


def linear(step: int, peak: float, warmup: float, total: int) -> float:
    """A whole number of steps of warm-up, then a line: see ``adamw.learning_rate``."""
    return learning_rate(step, peak, round(warmup * total), total)


def polynomial(step: int, peak: float, warmup: float, total: int, power: float = 1.0) -> float:
    """A power of what is left of the steps, all of them counted."""
    done = step / total
    return peak * done / warmup if done < warmup else peak * max(0.0, 1 - done) ** power


def constant(step: int, peak: float, warmup: float, total: int) -> float:
    """The peak, after the warm-up."""
    return peak * min(1.0, step / max(1, round(warmup * total)))


def plateau(step: int, peak: float, warmup: float, total: int) -> float:
    """Whichever is lower of the line that rises and the curve that falls to 0.9 of the peak."""
    done = step / total
    return peak * min(done / warmup if warmup else 1.0, 0.9 + 0.1 * (1 - done) ** 0.5)


def inverse_square_root(step: int, peak: float, warmup: float, total: int) -> float:
    """The peak after the warm-up, as long as it is below 1/√step."""
    return min(constant(step, peak, warmup, total), step**-0.5)


def trapezoid(step: int, peak: float, warmup: float, total: int, power: float = 1.0) -> float:
    """The peak after the warm-up; in the last fifth of the steps 1 - x^power of it, where x grows from 0 to 1."""
    fall = round(total / 5)
    return constant(step, peak, warmup, total) * (1 - max(0.0, (step - 1 - total + fall) / max(1, fall)) ** power)


SCHEDULES: dict[str, Schedule] = {"linear": linear, "polynomial": polynomial, "square-root": partial(polynomial, power=0.5),
                                  "constant": constant, "plateau": plateau, "inverse-square-root": inverse_square_root,
                                  "trapezoid": trapezoid, "trapezoid-square-root": partial(trapezoid, power=0.5)}


def rate(course: Course, step: int, total: int) -> float:
    """Of step ``step``, as a course asks for it."""
    options = {"power": course.power} if course.schedule == "polynomial" else {}
    return SCHEDULES[course.schedule](step, course.learning_rate, course.warmup, total, **options)
