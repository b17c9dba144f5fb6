"""A run's loss and held-out Dice as Slicer's plot nodes, which its plot views draw."""

from __future__ import annotations

from pathlib import Path

import slicer
import vtk
from ensam_training.curves import read_rows
from ENSAMSegmentLib.scene_nodes import singleton
from ENSAMSegmentLib.translation import tr as _

_LOSS_COLOR, _BOX_COLOR, _CLICKS_COLOR = (0.55, 0.55, 0.55), (0.2, 0.5, 0.9), (0.2, 0.7, 0.35)
_HIGHEST = 1.4


class RunPlot:
    """One chart, brought up to date with `update`; its nodes are not saved with the scene."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene

    def update(self, run: Path) -> slicer.vtkMRMLPlotChartNode:
        """The chart of the run in a folder, as far as it is."""
        losses, scores = read_rows(run / "log.csv"), read_rows(run / "validation.csv")
        chart = singleton(self._scene, "vtkMRMLPlotChartNode", "ENSAMTraining")
        columns = [name for name in (scores[0] if scores else ()) if name.startswith("dice_")] or [""]
        for role, title, color, rows, column in (
            ("Loss", _("Loss"), _LOSS_COLOR, losses, "loss_clicks"),
            ("DiceBox", _("Dice after the box"), _BOX_COLOR, scores, "dice_box"),
            ("DiceClicks", _("Dice after the last click"), _CLICKS_COLOR, scores, columns[-1]),
        ):
            self._series(chart, role, title, color, [(row["minutes"], row.get(column, 0.0)) for row in rows])
        chart.SetTitle(_("Training"))
        chart.SetXAxisTitle(_("Minutes of training"))
        chart.SetYAxisTitle(_("Loss, and Dice of held-out objects"))
        # Room for the legend above the curves: it would hide their last values.
        chart.SetYAxisRangeAuto(False)
        highest = max((row.get("loss_clicks", 0.0) for row in losses), default=0.0)
        chart.SetYAxisRange(0.0, max(_HIGHEST, 1.2 * highest))
        chart.SetSaveWithScene(False)
        return chart

    def _series(
        self,
        chart: slicer.vtkMRMLPlotChartNode,
        role: str,
        title: str,
        color: tuple[float, float, float],
        points: list[tuple[float, float]],
    ) -> None:
        series = singleton(self._scene, "vtkMRMLPlotSeriesNode", f"ENSAMTraining{role}")
        table = singleton(self._scene, "vtkMRMLTableNode", f"ENSAMTraining{role}")
        for node in (series, table):
            node.SetSaveWithScene(False)
        table.RemoveAllColumns()
        for index, name in enumerate(("minutes", role)):
            column = vtk.vtkFloatArray()
            column.SetName(name)
            for point in points:
                column.InsertNextValue(point[index])
            table.AddColumn(column)
        series.SetName(title)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName("minutes")
        series.SetYColumnName(role)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetColor(*color)
        kinds = slicer.vtkMRMLPlotSeriesNode
        series.SetMarkerStyle(kinds.MarkerStyleNone if role == "Loss" else kinds.MarkerStyleCircle)
        if not chart.HasPlotSeriesNodeID(series.GetID()):
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
