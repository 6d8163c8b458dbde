"""The learning curves of a run: titles, legends, and what their caption says."""

from segjax.report import curves
from segjax.tasks.localization import Localization

NAMES = ("learning_rate", "loss", "loss/dice", "r_aed", "images_per_second")


def rows(*splits, names=NAMES):
    return [
        {"step": step, "split": split, "name": name, "value": 1.0}
        for split in splits
        for name in names
        for step in (1, 2)
    ]


def test_losses_have_a_direction_and_the_learning_rate_comes_last():
    drawn = curves.curves_figure(rows("train"), metrics=Localization().metrics)
    titles = [axes.get_title() for axes in drawn.axes if axes.get_visible()]
    assert titles == ["loss ↓", "loss/dice ↓", "R-AED ↑", "learning rate"]
    assert curves.panels(rows("train")) == ["loss", "loss/dice", "r_aed", "learning_rate"]


def test_only_panels_of_two_lines_have_a_legend():
    given = rows("train", names=("loss",)) + rows("validation", names=("loss", "r_aed"))
    drawn = curves.curves_figure(given)
    legends = [axes.get_legend() is not None for axes in drawn.axes if axes.get_visible()]
    assert legends == [True, False]
    # The other panels have the same colours, which the caption names
    assert [line.get_color() for line in drawn.axes[1].lines] == [curves.COLOURS["validation"]]
    assert "training (blue)" in drawn.get_label() and "validation (orange)" in drawn.get_label()


def test_the_caption_says_on_what_validations_are_measured():
    told = Localization().explained["validation"]
    drawn = curves.curves_figure(rows("validation"), measured=told)
    assert "of its cases (distances measured on the original photographs)." in drawn.get_label()
    assert "of its cases." in curves.curves_figure(rows("validation")).get_label()
