"""Where a volume was when something was noted in its RAS.

Before that is needed again, the volume's transform may have been hardened, or another image chosen.
"""

from __future__ import annotations

import uuid

import numpy as np
import slicer
import vtk
from slicer.util import vtkMatrixFromArray

from .volumes import ijk_to_ras, matrix_of, transform_between

_SAME = 1e-5  # of an element; files round matrices

_session = uuid.uuid4().hex  # node IDs mean something in one scene only


def own_place(volume: slicer.vtkMRMLScalarVolumeNode) -> str:
    """The volume's own place, without its transforms: its matrix from (i, j, k, 1) to RAS mm as text."""
    return _text(ijk_to_ras(volume))


def is_same_place(one: str, other: str) -> bool:
    """Whether two texts of `own_place` mean the same."""
    return one == other or bool(np.allclose(_matrix(one), _matrix(other), rtol=0, atol=_SAME))


def note_place(volume: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Which volume this is, and where: for `way_from`."""
    return ";".join((_session, volume.GetID(), own_place(volume), _place_in_the_world(volume)))


def way_from(note: str, volume: slicer.vtkMRMLScalarVolumeNode) -> vtk.vtkGeneralTransform | None:
    """The way from the RAS of a noted volume, as it was, to that of this volume, as it is.

    None where both are the same, and where the noted one isn't known: what comes from another session or
    whose volume is gone is taken to be in this volume's RAS.
    """
    session, volume_id, place, world = [*note.split(";"), "", "", "", ""][:4]
    noted = volume.GetScene().GetNodeByID(volume_id) if session == _session else None
    if noted is None:
        return None
    # Hardened: the voxels have moved within their RAS, and not in the world. An image that was centred, or
    # got another origin, has left its prompts and its masks where they were.
    now = own_place(noted)
    is_hardened = not is_same_place(place, now) and _is_same_where_known(world, _place_in_the_world(noted))
    if noted is volume and not is_hardened:
        return None
    way = vtk.vtkGeneralTransform()
    way.PostMultiply()
    if is_hardened:
        way.Concatenate(vtkMatrixFromArray(_matrix(now) @ np.linalg.inv(_matrix(place))))
    way.Concatenate(transform_between(noted.GetParentTransformNode(), volume.GetParentTransformNode()))
    return way


def forget_places() -> None:
    """The scene is another one: what was noted before means nothing in it."""
    global _session
    _session = uuid.uuid4().hex


def _place_in_the_world(volume: slicer.vtkMRMLScalarVolumeNode) -> str:
    """As `own_place`, with the volume's transforms; "" under a warp."""
    to_world = matrix_of(transform_between(volume.GetParentTransformNode(), None))
    return "" if to_world is None else _text(to_world @ _matrix(own_place(volume)))


def _is_same_where_known(one: str, other: str) -> bool:
    return bool(one and other) and is_same_place(one, other)


def _text(matrix: np.ndarray) -> str:
    return " ".join(f"{element:.17g}" for element in matrix.ravel())


def _matrix(place: str) -> np.ndarray:
    return np.array([float(element) for element in place.split()]).reshape(4, 4)
