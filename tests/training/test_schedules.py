import pytest

from minibert.training import course
from minibert.training.adamw import learning_rate
from minibert.training.course import Course
from minibert.training.schedules import SCHEDULES, rate

WARMUP, TOTAL, PEAK = 0.2843, 7038, 6e-3  # NVIDIA's first phase


def test_the_options_name_them_all():
    assert course.SCHEDULES == tuple(SCHEDULES)


def test_linear_is_what_it_was():
    for step in range(1, 101):
        assert SCHEDULES["linear"](step, 0.5, 0.1, 100) == learning_rate(step, 0.5, 10, 100)


def poly_warm_up(step):
    """PolyWarmUpScheduler of degree 0.5, for steps counted from 1."""
    progress = step / TOTAL
    return PEAK * progress / WARMUP if progress < WARMUP else PEAK * (1 - progress) ** 0.5


def test_square_root_is_nvidias_and_jumps_where_the_warm_up_ends():
    rates = [SCHEDULES["square-root"](step, PEAK, WARMUP, TOTAL) for step in range(1, TOTAL + 1)]
    assert rates == pytest.approx([poly_warm_up(step) for step in range(1, TOTAL + 1)], rel=1e-14)
    edge = next(i for i in range(TOTAL - 1) if rates[i + 1] < rates[i])
    assert edge + 1 == 2000
    assert (rates[edge], rates[edge + 1]) == (pytest.approx(6e-3, rel=1e-3), pytest.approx(5.08e-3, rel=1e-3))
    assert rates[-1] == 0


def test_a_polynomial_of_degree_one_is_the_references_line_with_its_jump():
    rates = [SCHEDULES["polynomial"](step, 1.0, 0.1, 100) for step in range(1, 101)]
    assert rates[:9] == pytest.approx([step / 10 for step in range(1, 10)])
    assert rates[9:] == pytest.approx([1 - step / 100 for step in range(10, 101)])


def test_constant_rises_and_stays():
    rates = [SCHEDULES["constant"](step, 0.5, 0.1, 100) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.05 * step for step in range(1, 11)])
    assert set(rates[9:]) == {0.5}
    assert SCHEDULES["constant"](1, 0.5, 0.0, 1) == 0.5


def test_the_relative_step_of_adafactor():
    rates = [SCHEDULES["inverse-square-root"](step, 0.1, 0.0, 1000) for step in range(1, 1001)]
    assert rates == pytest.approx([min(0.1, step**-0.5) for step in range(1, 1001)])
    assert SCHEDULES["inverse-square-root"](5, 0.1, 0.1, 1000) == pytest.approx(0.005)


def test_a_trapezoid_rises_stays_and_falls():
    rates = [SCHEDULES["trapezoid"](step, 0.5, 0.1, 100) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.05 * step for step in range(1, 11)])
    assert set(rates[9:81]) == {0.5}
    assert rates[80:] == pytest.approx([0.5 * left / 20 for left in range(20, 0, -1)])
    steep = [SCHEDULES["trapezoid-square-root"](step, 0.5, 0.1, 100) for step in range(1, 101)]
    assert steep[:81] == rates[:81]
    assert steep[81:] == pytest.approx([0.5 * (1 - (x / 20) ** 0.5) for x in range(1, 20)])
    assert SCHEDULES["trapezoid"](1, 0.5, 0.0, 1) == 0.5


@pytest.mark.parametrize("schedule", ["polynomial", "square-root"])
def test_without_a_warm_up_nothing_is_divided_by_it(schedule):
    assert SCHEDULES[schedule](1, 1.0, 0.0, 4) == pytest.approx(0.75 ** (1.0 if schedule == "polynomial" else 0.5))


def test_a_course_says_which():
    assert rate(Course(schedule="polynomial", power=2.0, learning_rate=1.0, warmup=0.0), 50, 100) == pytest.approx(0.25)
    assert rate(Course(learning_rate=1.0), 100, 100) == learning_rate(100, 1.0, 10, 100)


@pytest.mark.parametrize(("options", "said"), [
    ({"schedule": "cosine"}, "--schedule must be one of linear, polynomial"), ({"power": 2.0}, "--power is for --schedule poly"),
    ({"schedule": "polynomial", "power": 0.0}, "--power must be a finite number above 0"), ({"ema": 1.0}, "--ema must be betw"),
    ({"optimiser": "sgd"}, "--optimiser must be one of adamw, lamb"), ({"beta2": 1.0}, "--beta2 must be from 0 to below 1")])
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Course(**options)
