"""Dropout: a key is all there is to know about a mask."""

import numpy as np
import pytest

from minibert.layers import dropout
from minibert.layers.dropout import Key, draw

SHAPE = (40, 50)


def philox(counter, key):
    """Philox4x64-10 written out: four words from a counter of four and a key of two (Salmon et al. 2011, section 3.3)."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * a, 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * c, 2**64)
        a, b, c, d = high1 ^ b ^ k0, low1, high0 ^ d ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) % 2**64, (k1 + 0xBB67AE8584CAA73B) % 2**64
    return [a, b, c, d]


def test_philox_written_out_gives_the_published_words():
    words = philox([0, 0, 0, 0], [0, 0])
    assert words == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]


def test_the_bits_of_a_key_are_philox4x64_10():
    """Any device can draw them: block n of four words has the counter (n + 1, 0, micro-batch, site) and the key (seed, step)."""
    key = Key(seed=2018, step=7, micro_batch=3).at(1).at(4).at(2)
    words = [word for block in range(1, 4) for word in philox([block, 0, key.micro_batch, key.site], [key.seed, key.step])]
    data = b"".join(word.to_bytes(8, "little") for word in words)  # byte i decides number i
    expected = [float(byte >= 128) * 2 for byte in data]
    assert draw(key, (96,), 0.5, dtype=np.float64).tolist() == expected


def test_the_bits_of_a_key_do_not_change():
    mask = draw(Key(seed=2018, step=7, micro_batch=3).at(1).at(4).at(2), (8, 8), 0.5)
    bits = "".join("1" if m else "0" for m in mask.ravel())
    assert bits == "0000010011101011000110101000001111000110110000000100101001001101"


def test_same_key_same_mask_whatever_the_dtype():
    key = Key(1, 2, 3, 4)
    np.testing.assert_array_equal(draw(key, SHAPE, 0.1), draw(key, SHAPE, 0.1))
    np.testing.assert_array_equal(draw(key, SHAPE, 0.1) > 0, draw(key, SHAPE, 0.1, dtype=np.float64) > 0)


@pytest.mark.parametrize("other", [Key(9, 2, 3, 4), Key(1, 9, 3, 4), Key(1, 2, 9, 4), Key(1, 2, 3, 9), Key(1, 2, 3, 4).at(0),
                                   Key(2**63 + 1, 2, 3, 4), Key(-1, 2, 3, 4)])
def test_other_key_other_mask(other):
    kept, also_kept = draw(Key(1, 2, 3, 4), SHAPE, 0.5) > 0, draw(other, SHAPE, 0.5) > 0
    assert abs((kept & also_kept).mean() - 0.25) < 0.05  # independent of each other


def test_places_within_a_model_never_share_a_key():
    top = Key(0)
    sites = [top.site, *(top.at(i).site for i in range(3)), *(top.at(1).at(i).site for i in range(100)),
             *(top.at(1).at(i).at(j).site for i in range(100) for j in range(3))]
    assert len(set(sites)) == len(sites)
    assert top == Key(0), "a key never changes"


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_the_scale_belongs_to_the_rate_that_was_drawn(rate):
    dropped = round(rate * 256) / 256
    mask = draw(Key(3), (400, 500), rate, dtype=np.float64)
    assert set(np.unique(mask)) == {0.0, 1 / (1 - dropped)}
    assert (mask > 0).mean() == pytest.approx(1 - dropped, abs=0.005)
    assert mask.mean() == pytest.approx(1, abs=0.02)


def test_the_largest_rate_keeps_something():
    assert np.isfinite(draw(Key(3), SHAPE, 0.999)).all()
    assert draw(Key(3), SHAPE, 0.999).any()


@pytest.mark.parametrize(("rate", "key"), [(0.0, Key(1)), (0.5, None)])
def test_nothing_is_dropped_without_a_rate_or_a_key(rate, key):
    x = np.arange(6.0).reshape(2, 3)
    y, cache = dropout.forward(x, rate, key)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dropout.backward(x, cache), x)


def test_the_mask_can_be_given():
    x = np.arange(6.0).reshape(2, 3)
    mask = np.array([[0.0, 2, 0], [2, 2, 0]])
    y, cache = dropout.forward(x, 0.5, mask)
    np.testing.assert_array_equal(y, x * mask)
    np.testing.assert_array_equal(dropout.backward(np.ones_like(x), cache), mask)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (2, 3, 7)])
def test_any_shape(shape):
    assert draw(Key(3), shape, 0.5).shape == shape
