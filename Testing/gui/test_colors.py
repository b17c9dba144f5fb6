"""What is written and drawn can be read on Slicer's light window and on its dark one."""

from __future__ import annotations

import pytest

WINDOWS = {
    "light": ("#efefef", "#000000", "#0000ff"),
    "dark": ("#323232", "#ffffff", "#3ca4ff"),
}  # with their texts and links, as Slicer's styles
TEXT, SIGN = 4.5, 3.0  # the least contrast, by WCAG 2.1


def contrast(one, other):
    def luminance(color):
        parts = (color.redF(), color.greenF(), color.blueF())
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture
def choose_window(an_application):
    """Shows all widgets in a window of this kind; gives its colour."""
    import qt

    app = qt.QApplication.instance()
    before = app.palette()

    def choose(kind):
        window, text, link = (qt.QColor(name) for name in WINDOWS[kind])
        palette = app.palette()
        palette.setColor(qt.QPalette.Link, link)
        for role in (qt.QPalette.Window, qt.QPalette.Button, qt.QPalette.Base):
            palette.setColor(role, window)
        for role in (qt.QPalette.WindowText, qt.QPalette.ButtonText, qt.QPalette.Text):
            palette.setColor(role, text)
        app.setPalette(palette)
        return window

    yield choose
    app.setPalette(before)


@pytest.fixture(params=WINDOWS)
def a_window(request, choose_window):
    """The window's colour, in which all widgets are shown."""
    return choose_window(request.param)


def text_color(label):
    import qt

    label.ensurePolished()
    return label.palette.color(qt.QPalette.WindowText)


def test_an_error_and_the_line_below_it_can_be_read(a_window, a_panel):
    from ENSAMSegmentLib.status import Status

    a_panel.logic.say(status=Status("error", "The box lies outside the image: move it.", "More on it."))
    for label in (a_panel.ui.statusLabel, a_panel.ui.detailLabel):
        assert contrast(text_color(label), a_window) >= TEXT


def eye_color(panel):
    import qt

    image = panel.ui.showPromptsButton.icon.pixmap(48, 48).toImage()
    return qt.QColor(image.pixel(24, 24))


def colors_of(widget):
    image = widget.grab().toImage()
    return {
        f"#{image.pixel(x, y) & 0xFFFFFF:06x}" for x in range(image.width()) for y in range(image.height())
    }


def show_measures(panel):
    import slicer

    from .fake_logic import LIVER

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.GetSegmentation().AddEmptySegment("liver", "liver")
    panel.logic.say(segmentation=segmentation, segment_id="liver", **LIVER)


def test_the_eye_can_be_seen(a_window, a_panel):
    assert contrast(eye_color(a_panel), a_window) >= SIGN


def test_the_panel_follows_another_style_that_is_chosen_meanwhile(choose_window, a_panel, an_application):
    from ENSAMSegmentLib.status import Status

    show_measures(a_panel)
    for kind in ("light", "dark", "light"):
        window = choose_window(kind)
        an_application.pump(0.05)
        assert contrast(eye_color(a_panel), window) >= SIGN
        assert WINDOWS[kind][2] in colors_of(a_panel.ui.measureLabel)
        assert contrast(text_color(a_panel.ui.statusLabel), window) >= TEXT
        a_panel.logic.say(status=Status("error", "The box lies outside the image: move it."))


def test_so_does_the_trainers(choose_window, a_trainer, trainer_fakes, an_application):
    import qt
    from ENSAMSegmentLib.status import Status
    from ENSAMTrainerLib.values import Judgement

    ui = a_trainer.ui
    a_trainer.logic.say(
        status=Status("error", "The training broke off."),
        cases=trainer_fakes.CASES,
        judgement=Judgement("Better.", "", True, trainer_fakes.COMPARISONS),
    )
    for kind in ("light", "dark", "light"):
        window = choose_window(kind)
        an_application.pump(0.05)
        for label in (ui.statusLabel, ui.verdictLabel):
            assert contrast(text_color(label), window) >= TEXT
        for table, row, column in ((ui.caseTable, 0, 2), (ui.comparisonTable, 0, 2)):
            assert contrast(qt.QColor(a_trainer.color(table, row, column)), window) >= TEXT


def test_the_colours_of_judgements_can_be_read(a_window, an_application):
    import qt
    from ENSAMSegmentGUI.colors import BAD, DOUBTFUL, GOOD, color_in, style

    label = qt.QLabel("Better.")
    for color in (GOOD, DOUBTFUL, BAD):
        assert contrast(qt.QColor(color_in(label, color)), a_window) >= TEXT
        assert color_in(label, color) in style(label, color)


def test_the_trainers_small_lines_can_be_read(a_window, a_trainer):
    ui = a_trainer.ui
    for label in (ui.remarkLabel, ui.folderLabel, ui.detailLabel, ui.cautionLabel, ui.cardLabel):
        assert contrast(text_color(label), a_window) >= TEXT
