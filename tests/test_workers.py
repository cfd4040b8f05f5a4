import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from minibert import workers as module
from minibert.workers import Workers, available_cores, describe_blas, share_out


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture(autouse=True)
def two_blas_threads():
    """A limit of one can be seen only where it is not one already."""
    if not blas_threads():
        pytest.skip("NumPy's BLAS cannot be limited here")
    with threadpool_limits(limits=2, user_api="blas"):
        if set(blas_threads()) != {2}:
            pytest.skip("this BLAS takes no limit of two threads")
        yield
    assert module._open == 0


def test_blas_has_one_thread_while_open_and_all_of_them_afterwards():
    with Workers(2):
        assert set(blas_threads()) == {1}
    assert set(blas_threads()) == {2}


def test_an_error_lifts_the_limit():
    with pytest.raises(ZeroDivisionError), Workers(2):
        raise ZeroDivisionError
    assert set(blas_threads()) == {2}


@pytest.mark.parametrize("first_closed", [0, 1])
def test_overlapping_workers_in_any_order(first_closed):
    opened = [Workers(1).__enter__(), Workers(2).__enter__()]
    opened.pop(first_closed).__exit__(None, None, None)
    assert set(blas_threads()) == {1}
    assert opened[0].map(abs, [-1, -2, -3]) == [1, 2, 3]
    opened.pop().__exit__(None, None, None)
    assert set(blas_threads()) == {2}


def test_the_limit_holds_inside_the_workers():
    with Workers(2) as workers:
        assert all(set(threads) == {1} for threads in workers.map(lambda _: blas_threads(), range(4)))


def test_map_keeps_the_order_and_uses_all_threads():
    with Workers(3) as workers:
        barrier = threading.Barrier(3, timeout=10)

        def work(a, b):
            barrier.wait()  # passes only when three run at once
            time.sleep(0.02 * (3 - a))
            return 10 * a + b

        assert workers.map(work, [0, 1, 2], [5, 6, 7]) == [5, 16, 27]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_worker_is_raised(threads):
    def work(i):
        if i == 1:
            raise ValueError("number one is wrong")
        return i

    with Workers(threads) as workers:
        with pytest.raises(ValueError, match="number one is wrong"):
            workers.map(work, range(3))
        assert workers.map(abs, [-1]) == [1]  # and they go on working


def test_without_a_controllable_blas_there_is_one_worker_and_a_note(monkeypatch):
    class Nothing:
        def limit(self, **_):
            return self

        def info(self):
            return []

        def restore_original_limits(self):
            pass

    monkeypatch.setattr(module, "_blas", Nothing)
    with Workers(4) as workers:
        assert workers.count == 1
        assert "one worker" in workers.note
    assert describe_blas() == "no controllable BLAS"


def test_default_count_and_wrong_count():
    assert Workers().count == available_cores() >= 1
    assert Workers(3).note == ""
    assert "openblas" in describe_blas() or describe_blas()
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Workers(0)


def test_shares_follow_a_fixed_rule():
    assert share_out("abcdef", [5, 9, 5, 1, 7, 5], 2) == [["b", "c", "d"], ["e", "a", "f"]]
    assert share_out("abc", [1, 1, 1], 1) == [["a", "b", "c"]]  # equal ones in their order
    assert share_out("ab", [1, 2], 4) == [["b"], ["a"], [], []]
    assert share_out("", [], 2) == [[], []]
    rng = np.random.default_rng(0)
    weights = rng.integers(1, 500, 50).tolist()
    shares = share_out(weights, weights, 4)
    assert sorted(w for share in shares for w in share) == sorted(weights)
    loads = [sum(share) for share in shares]
    assert max(loads) - min(loads) < max(weights)


def test_fewer_workers_than_threads_leave_blas_the_others():
    with Workers(4, 2) as workers:
        assert workers.count == 2
        assert set(blas_threads()) == {2}
        assert str(workers) == "2 workers of 2 cores"
    with Workers(2, 7) as workers:  # more workers than threads: as many as threads
        assert workers.count == 2
        assert str(workers) == "2 workers"


def test_all_threads_share_work_that_needs_no_gradients():
    with Workers(3, 1) as workers:
        barrier = threading.Barrier(3, timeout=10)
        workers.map(lambda _: barrier.wait(), range(3))


@pytest.mark.parametrize(("memory", "expected"), [(None, 8), (1000, 8), (500, 4), (130, 1), (1, 1)])
def test_as_many_workers_as_memory_holds(memory, expected):
    assert module.that_fit(8, lambda workers: 100 * workers, memory) == expected


def test_the_memory_of_this_machine_is_known_or_not_told():
    memory = module.total_memory()
    assert memory is None or memory > 2**27


@pytest.mark.parametrize("arguments", [(0,), (2, 0)])
def test_no_threads_and_no_workers_are_refused(arguments):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Workers(*arguments)


def test_a_narrow_model_works_on_more_tokens_at_a_time_where_every_worker_has_them():
    assert module.micro_batch_tokens(128, 32 * 128, 2) == 2048  # a quarter of a million numbers
    assert module.micro_batch_tokens(256, 32 * 128, 2) == 1024
    assert module.micro_batch_tokens(768, 32 * 128, 2) == 512  # wide: what fits into a cache
    assert module.micro_batch_tokens(128, 1024, 2) == 512  # a small step: its half
    assert module.micro_batch_tokens(128, 1024, 1) == 1024
    assert module.micro_batch_tokens(768, 1024, 4) == 256  # less, so that all of them have some
    assert module.micro_batch_tokens(128, 1024, 16) == 128  # but not so little that a product is mostly its call
