"""The file that a run goes on from: what is in it, and what is refused."""

import json

import numpy as np
import pytest

from minibert.numerics.adam import DEFAULT
from minibert.numerics.lamb import LAMB
from minibert.parameters import Layout, Parameters
from minibert.pretrained import tensors
from minibert.training import state

SHAPES = {"a.weight": (2, 3), "b.weight": (3, 2), "b.bias": (4,)}


def slabs(shapes):
    layout = Layout(shapes)
    return [Parameters(layout, np.arange(layout.size, dtype=np.float32) + i) for i in range(3)]


def write(folder, about, names=("m", "v"), optimiser="adamw"):
    parameters, *kept = slabs(SHAPES)
    state.write(folder, "kind", about, parameters, dict(zip(names, kept)), optimiser)


def read(folder, shapes, optimiser=DEFAULT, ema=None):
    with tensors.opened(folder / state.FILE) as file:
        found = state.read(file, "kind")
        parameters, kept = state.read_slabs(file, found, Layout(shapes), optimiser, ema)
        return found, [parameters, *kept.values()]


def test_what_was_written_is_read(tmp_path):
    write(tmp_path, {"steps": 3})
    found, read_back = read(tmp_path, SHAPES)
    assert found == {"steps": 3}
    for a, b in zip(read_back, slabs(SHAPES)):
        np.testing.assert_array_equal(a.flat, b.flat)


@pytest.mark.parametrize(("shapes", "message"), [
    ({"b.weight": (3, 2), "a.weight": (2, 3), "b.bias": (4,)},  # as many numbers, each of them elsewhere
     r"has b.weight \(3, 2\), its numbers are a.weight \(2, 3\); the model or the classes have changed"),
    ({"a.weight": (3, 2), "b.weight": (3, 2), "b.bias": (4,)}, r"has a.weight \(3, 2\), its numbers are a.weight \(2, 3\)"),
    ({"a.weight": (2, 3), "b.weight": (3, 2)}, r"has no tensor, its numbers are b.bias \(4,\)"),
    ({**SHAPES, "c.bias": (1,)}, r"has c.bias \(1,\), its numbers are no tensor"),
])
def test_a_state_of_another_layout_is_refused_by_name(tmp_path, shapes, message):
    write(tmp_path, {})
    with pytest.raises(ValueError, match=rf"{state.FILE}: where this model {message}"):
        read(tmp_path, shapes)


def write_as_before(folder, about):
    """As files were written that name neither a version nor a layout."""
    arrays = {name: slab.flat for name, slab in zip(("parameters", "m", "v"), slabs(SHAPES))}
    tensors.write(folder / state.FILE, arrays, {"kind": json.dumps(about)})


def test_a_state_from_before_layouts_were_written_is_read_if_its_size_fits(tmp_path):
    write_as_before(tmp_path, {"steps": 3})
    found, read_back = read(tmp_path, SHAPES)
    assert found == {"steps": 3}
    assert read_back[2].flat[0] == 2
    with pytest.raises(ValueError, match=r"expected parameters of shape \(12,\), found \(16,\)"):
        read(tmp_path, {"a.weight": (2, 3), "b.weight": (3, 2)})


def test_a_state_of_a_later_version_is_refused(tmp_path):
    write_as_before(tmp_path, {"version": state.VERSION + 1})
    with pytest.raises(ValueError, match=r"this training state is of version 2, and up to 1 is read"):
        read(tmp_path, SHAPES)


def test_a_state_of_another_optimiser_is_refused_by_name(tmp_path):
    write(tmp_path, {}, optimiser="lamb")
    with pytest.raises(ValueError, match=r"is for the optimiser 'lamb', and this run learns with adamw"):
        read(tmp_path, SHAPES)
    assert len(read(tmp_path, SHAPES, LAMB(ratio="all"))[1]) == 3


def test_a_state_without_the_average_that_a_run_needs_is_refused(tmp_path):
    write(tmp_path, {})
    with pytest.raises(ValueError, match=r"expected average of shape \(16,\), found None"):
        read(tmp_path, SHAPES, ema=0.9)
