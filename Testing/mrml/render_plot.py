"""Draws the trainer's plot nodes of a run, with the VTK chart that Slicer's plot view is made of.

Run it with ``.venv/bin/python -m mrml.render_plot RUN -o PNG`` in ``Testing``; RUN is a training's folder.
The view itself is a Qt widget of the application: this shows what the nodes hold, not its frame.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import slicer
import vtk
from ENSAMTrainerLib.plots import RunPlot

from .rendering import check_rendering
from .slicer_core_scene import create_scene
from .views import off_screen_window

SIZE = (720, 420)


def main() -> int:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    check_rendering()
    with create_scene() as application:
        draw(RunPlot(application.GetMRMLScene()).update(options.run), options.output)
    return 0


def draw(node: slicer.vtkMRMLPlotChartNode, path: Path) -> None:
    """A chart node's title, axes and series as a PNG."""
    chart = vtk.vtkChartXY()
    chart.SetTitle(node.GetTitle())
    chart.SetShowLegend(True)
    for axis, title in ((vtk.vtkAxis.BOTTOM, node.GetXAxisTitle()), (vtk.vtkAxis.LEFT, node.GetYAxisTitle())):
        chart.GetAxis(axis).SetTitle(title)
    if not node.GetYAxisRangeAuto():
        chart.GetAxis(vtk.vtkAxis.LEFT).SetBehavior(vtk.vtkAxis.FIXED)
        chart.GetAxis(vtk.vtkAxis.LEFT).SetRange(*node.GetYAxisRange())
    for index in range(node.GetNumberOfPlotSeriesNodes()):
        series = node.GetNthPlotSeriesNode(index)
        plot = chart.AddPlot(vtk.vtkChart.LINE)
        plot.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
        plot.SetLabel(series.GetName())
        plot.SetColorF(*series.GetColor())
        plot.SetWidth(2)
        has_marks = series.GetMarkerStyle() != series.MarkerStyleNone
        plot.SetMarkerStyle(vtk.vtkPlotPoints.CIRCLE if has_marks else vtk.vtkPlotPoints.NONE)
    window, renderer = off_screen_window()
    window.SetSize(*SIZE)
    renderer.SetBackground(1, 1, 1)
    actor = vtk.vtkContextActor()
    actor.GetScene().AddItem(chart)
    renderer.AddActor(actor)
    window.Render()
    picture, writer = vtk.vtkWindowToImageFilter(), vtk.vtkPNGWriter()
    picture.SetInput(window)
    writer.SetInputConnection(picture.GetOutputPort())
    writer.SetFileName(str(path))
    writer.Write()


if __name__ == "__main__":
    sys.exit(main())
