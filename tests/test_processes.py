"""Work for several processes."""

import gc
import math
import os

import pytest

from minibert.processes import mapping, without_collector


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order_whoever_works(processes):
    with mapping(math.factorial, processes, "that multiplies", "") as mapped:
        assert list(mapped(range(12))) == [math.factorial(n) for n in range(12)]
        assert list(mapped([])) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_the_worker_is_its_own(processes):
    with pytest.raises(ValueError, match="not defined for negative"), mapping(math.factorial, processes, "", "") as mapped:
        list(mapped([3, -1]))


def test_what_is_no_longer_wanted_is_left():
    with mapping(math.factorial, 2, "that multiplies", "") as mapped:
        assert next(mapped(iter(int, 1))) == 1  # of endless items


def test_a_process_that_is_ended_is_said_in_a_sentence():
    message = r"^a process that leaves was ended from outside \(is there too little memory\?\); try again$"
    with pytest.raises(RuntimeError, match=message), mapping(os._exit, 2, "that leaves", "try again") as mapped:
        list(mapped([1, 1, 1]))


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_rests_and_is_as_it_was(enabled):
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with without_collector():
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if was else gc.disable)()
