"""What every lesson uses to show things."""

import matplotlib.image
import numpy as np
import pytest

from lessons import workbench


@pytest.fixture
def picture(tmp_path, monkeypatch):
    """Saves a picture of a full or of a quick run: where it is, and its pixels."""
    monkeypatch.setattr(workbench, "HERE", tmp_path / "lessons")
    monkeypatch.setattr(workbench, "FIGURES", tmp_path / "lessons" / "figures")

    def save(quick):
        monkeypatch.setattr(workbench, "QUICK", quick)
        made = workbench.figure(8, 4, "It learns, and how")
        made.subplots().plot([1, 2], [2, 1])
        workbench.save(made, "99_lesson")
        (path,) = [path for path in tmp_path.rglob("*.png") if ("quick" in path.parts) == quick]
        return path, matplotlib.image.imread(path)

    return save


def test_a_picture_of_a_quick_run_is_stamped_and_replaces_no_other(picture, tmp_path):
    """Its titles speak of effects that only a full run shows."""
    full, honest = picture(quick=False)
    quick, stamped = picture(quick=True)
    assert full.relative_to(tmp_path).as_posix() == "lessons/figures/99_lesson.png"
    assert quick.relative_to(tmp_path).as_posix() == "lessons/figures/quick/99_lesson.png"
    assert honest.shape == stamped.shape, "the stamp moves nothing"
    changed = (honest != stamped).any(-1)
    assert changed.mean() > 0.02, "and can be seen from the last row"
    assert np.ptp(np.nonzero(changed.any(0))) > 0.7 * changed.shape[1], "all across"


def test_a_picture_for_a_guess_names_nothing_and_moves_nothing(picture, tmp_path, monkeypatch):
    monkeypatch.setattr(workbench, "FIGURES", tmp_path / "lessons" / "figures")
    monkeypatch.setattr(workbench, "GUESS", True)
    made = workbench.figure(8, 4, "The answer")
    left, right = made.subplots(1, 2)
    left.plot([1, 2], label="the right one")
    left.set(title="It is this one", xlabel="step")
    left.legend()
    right.plot([2, 1], label="the other")
    made.legend(loc="outside lower center")
    workbench.save(made, "99_lesson")
    folder = tmp_path / "lessons" / "figures"
    full, guess = (matplotlib.image.imread(folder / name) for name in ("99_lesson.png", "guess/99_lesson.png"))
    assert (full != guess).any(), "titles and legends are gone"
    assert [axes.get_title() for axes in made.axes] == ["", ""]
    assert not any(legend.get_visible() for legend in (left.get_legend(), *made.legends))
    assert left.get_xlabel() == "step", "what is measured can still be read"
    height = len(full) // 2
    assert np.array_equal(full[height:height + 5, -100:], guess[height:height + 5, -100:]), "the curves stay where they were"
