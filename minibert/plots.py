"""Pictures. Matplotlib is imported here and nowhere else in the package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from minibert.files import replacing

if TYPE_CHECKING:
    from minibert.training.trainer import Row

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"  # told apart by colour-blind eyes (Okabe and Ito)


def learning_curve(rows: Sequence[Row], path: str | os.PathLike[str], ln_vocabulary: float, unigram: float,
                   title: str = "Pre-training") -> None:
    """Loss and accuracy of a run against its steps, training and held-out, with the two lines that make them readable."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [row.step for row in rows]
    seen = [row for row in rows if row.held_out_mlm_loss is not None]
    at = [row.step for row in seen]
    figure = Figure(figsize=(11, 4.8), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    loss, right = figure.subplots(1, 2)
    figure.suptitle(title, fontsize=15, fontweight="bold")

    loss.axhline(ln_vocabulary, color=GREY, linestyle=":", linewidth=1.5)
    loss.axhline(unigram, color=GREY, linestyle="--", linewidth=1.5)
    loss.plot(steps, [row.mlm_loss for row in rows], color=BLUE, alpha=0.55, linewidth=1.5, label="training")
    loss.plot(at, [row.held_out_mlm_loss for row in seen], color=ORANGE, marker="o", linewidth=2.2, label="held-out text")
    loss.set(title="Surprise at the masked words", xlabel="step", ylabel="loss (nats per masked word)")
    for y, text in ((ln_vocabulary, f"blind guessing: ln V = {ln_vocabulary:.2f}"),
                    (unigram, f"guessing by frequency alone: {unigram:.2f}")):
        loss.annotate(text, (1, y), xycoords=("axes fraction", "data"), xytext=(-4, 3), textcoords="offset points", ha="right",
                      fontsize=10, color=GREY)
    if seen:
        best = seen[-1].held_out_mlm_loss
        loss.annotate(f"{best:.2f}", (at[-1], best), xytext=(0, -16), textcoords="offset points", ha="center", fontsize=11,
                      color=ORANGE, fontweight="bold")
    loss.legend(loc="lower left", fontsize=11)

    right.plot(steps, [100 * row.mlm_accuracy for row in rows], color=BLUE, alpha=0.55, linewidth=1.5,
               label="masked word, training")
    right.plot(at, [100 * row.held_out_mlm_accuracy for row in seen], color=ORANGE, marker="o", linewidth=2.2,
               label="masked word, held-out")
    pairs = [row for row in seen if row.held_out_nsp_accuracy is not None]
    if pairs:
        right.plot([row.step for row in pairs], [100 * row.held_out_nsp_accuracy for row in pairs], color=GREEN, marker="s",
                   linewidth=2.2, label="next sentence, held-out")
        right.axhline(50, color=GREEN, linestyle=":", linewidth=1.5)
        right.annotate("next sentence: tossing a coin", (1, 50), xycoords=("axes fraction", "data"), xytext=(-4, 3),
                       textcoords="offset points", ha="right", fontsize=10, color=GREEN)
    right.set(title="How often the first guess is right", xlabel="step", ylabel="right (%)", ylim=(0, 100))
    right.legend(loc="upper left", fontsize=11)
    for axes in (loss, right):
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(left=0)
    with replacing(path) as temporary:
        figure.savefig(temporary)
