import warnings
from itertools import pairwise

import numpy as np
import pytest

from minibert import plots

FIGURES = ("mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy")
COLUMNS = ("step", "tokens", "seconds", "learning_rate", "gradient_norm", *FIGURES, *(f"held_out_{name}" for name in FIGURES))
PNG = b"\x89PNG\r\n\x1a\n"


def rows(count, looks, pairs=True):
    """A run of ``count`` rows, with ``looks`` at held-out text."""
    made = []
    for i in range(1, count + 1):
        nsp = (0.6, 0.7) if pairs else (None, None)
        look = (4.0, 0.3, *nsp) if i % (count // looks) == 0 else (None,) * 4
        made.append(dict(zip(COLUMNS, (15 * i, 1000 * i, i / 10, 1e-3, 1.0, 4 + 4 / i, 0.3, *nsp, *look))))
    return made


def pixels(path):
    from matplotlib.image import imread

    assert path.read_bytes().startswith(PNG)
    return imread(path)[..., :3]


def draw(tmp_path, monkeypatch, run):
    """The picture as pixels, and the figure as it was drawn."""
    from matplotlib.figure import Figure

    drawn = []
    savefig = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **options: (drawn.append(self), savefig(self, *args, **options)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.learning_curve(run, tmp_path / "loss.png", np.log(6000), 6.08, "Pre-training a_name_with_underscores")
    return pixels(tmp_path / "loss.png"), drawn[0]


@pytest.mark.parametrize("pairs", [True, False])
def test_every_part_is_titled_labelled_and_in_the_picture(tmp_path, monkeypatch, pairs):
    picture, figure = draw(tmp_path, monkeypatch, rows(200, 12, pairs))
    assert picture.shape[1] >= 1200
    assert min(picture.shape[:2]) >= 600
    for colour in (plots.BLUE, plots.ORANGE, *([plots.GREEN] if pairs else [])):
        rgb = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
        ink = 1 - picture  # also of a curve that lets the grid shine through
        share = ink @ (1 - rgb) / ((1 - rgb) @ (1 - rgb))
        assert ((np.abs(ink - share[..., None] * (1 - rgb)).max(-1) < 0.05) & (share > 0.5)).sum() > 500, colour
    assert figure.get_suptitle() == "Pre-training a_name_with_underscores"
    assert all(axes.get_title() and axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "masked words, training", "masked words, held-out text", *(["next sentence, held-out text"] if pairs else [])]
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "blind guessing: ln V = 8.70" in said
    assert "guessing by frequency alone: 6.08" in said
    assert {"4.00", "30 %"} <= set(said)
    assert ("70 %" in said) == pairs


@pytest.mark.parametrize("run", [[], rows(1, 1), rows(3, 1), rows(12, 2), rows(200, 1)], ids=len)
def test_no_text_is_cut_off_or_covers_other_text(tmp_path, monkeypatch, run):
    _, figure = draw(tmp_path, monkeypatch, run)
    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    boxes = []
    for axes in figure.axes:
        texts = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for ticks in (axes.xaxis, axes.yaxis):
            low, high = sorted(ticks.get_view_interval())
            texts += [tick.label1 for tick in ticks.get_major_ticks() if low <= tick.get_loc() <= high]
        boxes += [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]
    boxes += [(text.get_text(), text.get_window_extent(renderer)) for text in figure.legends[0].get_texts()]
    for i, (text, box) in enumerate(boxes):
        assert box.x0 >= -2, text
        assert box.x1 <= width + 2, text
        assert box.y0 >= -2, text
        assert box.y1 <= height + 2, text
        for other, other_box in boxes[:i]:
            assert not box.overlaps(other_box), (text, other)


def test_importing_the_trainer_does_not_import_matplotlib():
    import subprocess
    import sys

    code = "import sys, minibert.training.command, minibert.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved."""
    from matplotlib.figure import Figure

    drawn, savefig = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **options: (drawn.append(self), savefig(self, *args, **options)))
    return drawn


def test_a_number_of_each_layer(tmp_path, figures):
    plots.save(plots.by_layer({"one": np.array([0.2, 0.4, 0.1]), "two": np.array([0.3, 0.3, 0.9])}, "A title", "a share",
                              {"chance": 0.25}, (0, 1)), tmp_path / "x.png")
    assert min(pixels(tmp_path / "x.png").shape[:2]) >= 600
    [figure] = figures
    [axes] = figure.axes
    assert figure.get_suptitle() == "A title"
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_ylim()) == ("layer", "a share", (0, 1))
    curves = {line.get_label(): line for line in axes.lines}
    assert curves["two"].get_xydata().tolist() == [[1, 0.3], [2, 0.3], [3, 0.9]]
    assert [text.get_text() for text in axes.texts] == ["chance: 0.25"]
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == ["one", "two"]


@pytest.mark.parametrize("figure", [plots.by_layer({"one": [0.2, 0.4]}, "A title", "a share"),
                                    plots.layer_maps({"one": np.eye(2)}, "A title", 1),
                                    plots.panels("A title", plots.Bars("a", ["x"], {"y": [1]}, "share"))])
def test_words_behind_a_title_are_in_its_letters(figure):
    [title] = [text for text in figure.texts if text.get_text() == "A title"]
    look = title.get_fontsize(), title.get_fontweight()
    plots.add_to_title(figure, " (quick)")
    assert figure.get_suptitle() == "A title (quick)"
    assert (title.get_text(), title.get_fontsize(), title.get_fontweight()) == ("A title (quick)", *look)


def test_maps_of_layers_share_one_scale(tmp_path, figures):
    maps = {name: np.full((3, 4), level) for name, level in (("RSA", 0.5), ("CKA", 0.9), ("RSA, shuffled", 0.0))}
    plots.save(plots.layer_maps(maps, "A title", 2, {"CKA": "sentences"}), tmp_path / "x.png")
    assert min(pixels(tmp_path / "x.png").shape[:2]) >= 600
    [figure] = figures
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == list(maps)
    assert [axes.get_xlabel() for axes in shown] == ["layer", "sentences", "layer"]
    assert {axes.images[0].get_clim() for axes in shown} == {(0, 1)}
    assert figure.get_suptitle() == "A title"
    assert not figure.axes[3].get_visible()


def test_the_panels_of_an_analysis_show_every_value_beside_the_others():
    bars = plots.Bars("relations", ["det", "obj"], {"head": [0.9, 0.4], "offset": [0.5, 0.3], "chance": [0.1, 0.2]}, "share")
    figure = plots.panels("What was found", bars, plots.Lines("layers", "layer", [1, 2, 3], {"head": [0.1, 0.5, 0.2]}, "share"))
    left, right = figure.axes
    boxes = sorted((bar.get_x(), bar.get_x() + bar.get_width(), bar.get_height()) for bar in left.patches)
    assert [height for *_, height in boxes] == [0.9, 0.5, 0.1, 0.4, 0.3, 0.2]
    assert all(end <= start + 1e-9 for (_, end, _), (start, *_) in pairwise(boxes))
    assert [text.get_text() for text in left.get_xticklabels()] == ["det", "obj"]
    assert right.lines[0].get_xydata().tolist() == [[1, 0.1], [2, 0.5], [3, 0.2]]
    assert all(tick == int(tick) for tick in right.get_xticks())
    for axes, names in ((left, ["head", "offset", "chance"]), (right, ["head"])):
        assert [text.get_text() for text in axes.get_legend().get_texts()] == names
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()
        legend, title = (part.get_window_extent(renderer) for part in (axes.get_legend(), axes.title))
        assert axes.get_window_extent().y1 <= legend.y0 + 8
        assert legend.y1 <= title.y0 + 8


@pytest.mark.parametrize(("names", "columns"), [
    (("a", "b", "c", "d"), 4), (("least important first", "random (mean)", "both", "x" * 30), 2)])
def test_names_that_are_too_long_for_one_line_above_a_panel_take_two(names, columns):
    figure = plots.panels("A title", plots.Lines("One", "x", [1, 2], {name: [1, 2] for name in names}, "y"),
                          plots.Bars("Two", ["a"], {"y": [1]}, "y"))
    figure.canvas.draw()
    [first, second] = figure.axes
    assert first.get_legend()._ncols == columns
    box = first.get_legend().get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= second.get_tightbbox().x1
    assert first.get_window_extent().width > figure.bbox.width / 4, "the panel keeps its room"
