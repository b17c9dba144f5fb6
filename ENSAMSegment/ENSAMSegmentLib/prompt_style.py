"""How prompts look in the views, and what their nodes are called."""

from __future__ import annotations

import slicer

from .translation import tr as _

BOX, FOREGROUND, BACKGROUND = KINDS = ("box", "foreground", "background")
# Red, green and blue from 0 to 1.
COLORS = {BOX: (1.0, 0.8, 0.2), FOREGROUND: (0.2, 0.9, 0.3), BACKGROUND: (0.95, 0.25, 0.25)}
_MUTED_COLOR = (0.7, 0.7, 0.7)
_DISPLAY = slicer.vtkMRMLMarkupsDisplayNode
_GLYPHS = {BOX: _DISPLAY.Sphere3D, FOREGROUND: _DISPLAY.ThickCross2D, BACKGROUND: _DISPLAY.Dash2D}
# Of the view's size. The box's glyph is its middle, which is no click.
_GLYPH_PERCENT = {BOX: 1.0, FOREGROUND: 5.0, BACKGROUND: 5.0}
_HANDLE_PERCENT = 2.0


def node_name(segment: str, kind: str) -> str:
    """What the node with a segment's prompts of one kind is called."""
    if kind == BOX:
        return _("{segment} box").format(segment=segment)
    if kind == FOREGROUND:
        return _("{segment} foreground").format(segment=segment)
    return _("{segment} background").format(segment=segment)


def style(display: slicer.vtkMRMLMarkupsDisplayNode, kind: str) -> None:
    """Give the prompts of a kind their look in the views."""
    # Slicer draws selected points in the selected colour: here those are the prompts that count.
    display.SetSelectedColor(*COLORS[kind])
    display.SetColor(*_MUTED_COLOR)
    # Under the mouse and while it is placed a prompt keeps its hue: Slicer's green would say foreground.
    display.SetActiveColor(*((1 + c) / 2 for c in COLORS[kind]))
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(False)
    display.SetUseGlyphScale(True)
    display.SetGlyphScale(_GLYPH_PERCENT[kind])
    # Plus and minus: muted points are grey, not everyone tells red from green, and Slicer's handles are red
    # and green dots. They leave what lies under them to be seen.
    display.SetGlyphType(_GLYPHS[kind])
    if kind == BOX:
        # With Slicer's own handles: faces, edges and the middle. Its rings for turning would fill the view.
        display.SetFillVisibility(False)
        display.SetInteractionHandleScale(_HANDLE_PERCENT)
    else:
        # Points lie inside of what they mark: in 3D they shine through.
        display.SetOccludedVisibility(True)
        display.SetOccludedOpacity(0.5)
