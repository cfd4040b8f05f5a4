"""Fine-tuning in small: what is learned, from where it starts, and that the model that is given stays as it was."""

import numpy as np
import pytest

from minibert.analysis import tuning
from minibert.analysis.tuning import Example, Settings
from minibert.api import Bert
from tests import tiny_model

QUICK = Settings(steps=60, batch=8, learning_rate=3e-3)


@pytest.fixture(params=[{}, {"pooler": None, "text_head": "tanh"}], ids=["pooler", "none"])
def bert(request):
    return Bert(*tiny_model.make(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **request.param))


def examples(bert, kind, count=64):
    """A class by the first letter; the choice that has an x in it; the x in a text."""
    rng, encode = np.random.default_rng(0), bert.tokenizer.encode
    found = []
    for _ in range(count):
        letters, target = rng.choice([*"abcd"], 4), int(rng.integers(2))
        if kind == "class":
            letters[0] = "xy"[target]
            found.append(Example((encode(" ".join(letters)),), target))
        elif kind == "choice":
            found.append(Example(tuple(encode(" ".join(letters), "x" if i == target else "y") for i in range(2)), target))
        else:
            at = int(rng.integers(4))
            letters[at] = "x"
            found.append(Example((encode(" ".join(letters)),), (at + 1, at + 1)))
    return found


@pytest.mark.parametrize("kind", ["class", "choice", "span"])
def test_a_head_learns_and_the_model_stays(bert, kind):
    before, given = bert.parameters.flat.copy(), examples(bert, kind)
    model = tuning.model_of(bert.config, kind)
    start, seen = tuning.grown(model, bert), []
    p = tuning.tune(bert, model, start, given, QUICK, lambda step, now: seen.append((step, now.flat.copy())))
    np.testing.assert_array_equal(bert.parameters.flat, before)
    assert tuning.accuracy(bert, model, p, given) > 0.9
    assert tuning.predict(bert, model, p, given)[0] < 0.5 * tuning.predict(bert, model, start, given)[0]
    assert [step for step, _ in seen] == list(range(61))
    np.testing.assert_array_equal(seen[0][1], start.flat)
    np.testing.assert_array_equal(seen[-1][1], p.flat)
    np.testing.assert_array_equal(p.flat, tuning.tune(bert, model, start, given, QUICK).flat)


def test_what_the_model_has_is_taken_over(bert):
    model = tuning.model_of(bert.config, "class", 3)
    start, known = dict(tuning.grown(model, bert, seed=5).items()), dict(bert.parameters.items())
    assert start.keys() - known.keys() == {name for name in start if name.startswith("classifier")}
    assert all(np.array_equal(start[name], known[name]) for name in start.keys() & known.keys())


def test_the_loss_is_the_mean_over_examples(bert):
    model, given = tuning.model_of(bert.config, "class", 3), examples(bert, "class", 7)
    p = tuning.grown(model, bert)
    loss, logits = tuning.predict(bert, model, p, given)
    z = np.stack(logits).astype(float)
    surprise = [np.log(np.exp(row).sum()) - row[example.target] for row, example in zip(z, given)]
    assert loss == pytest.approx(np.mean(surprise), abs=1e-6)
