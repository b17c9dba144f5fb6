"""Saved scenes, opened beside the one that the user works in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import slicer
from ensam.errors import InputError
from ENSAMSegmentLib.translation import tr as _

SUFFIXES = (".mrb", ".mrml")


@contextmanager
def opened(path: Path, like: slicer.vtkMRMLScene) -> Iterator[slicer.vtkMRMLScene]:
    """A scene of its own with what a file holds; closed at the end. `like`: the scene whose kinds of nodes
    it knows. Raises InputError for a file that can't be read."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(_("'{name}' is no saved scene: choose .mrb or .mrml files.").format(name=path.name))
    if not path.is_file():
        raise InputError(_("There is no file '{path}': check where it is.").format(path=path))
    scene = slicer.vtkMRMLScene()
    like.CopyRegisteredNodesToScene(scene)
    with tempfile.TemporaryDirectory(prefix="ensam-scene-") as folder:
        # Bundles are unpacked into the cache of the scene's data manager.
        remote, cache = slicer.vtkMRMLRemoteIOLogic(), slicer.vtkCacheManager()
        remote.SetMRMLScene(scene)
        remote.AddDataIOToScene()
        cache.SetMRMLScene(scene)
        cache.SetRemoteCacheDirectory(folder)
        scene.GetDataIOManager().SetCacheManager(cache)
        before = os.getcwd()
        try:
            read = _read(scene, path)
            # Unpacking a bundle leaves the process in a folder that is about to go.
            os.chdir(before)
            if not read:
                raise InputError(
                    _("The scene '{name}' can't be read: open it in Slicer and save it again.").format(
                        name=path.name
                    )
                )
            yield scene
        finally:
            scene.Clear(True)
            remote.RemoveDataIOFromScene()


def _read(scene: slicer.vtkMRMLScene, path: Path) -> bool:
    if path.suffix.lower() == ".mrb":
        return bool(scene.ReadFromMRB(str(path), False))
    scene.SetURL(str(path))
    scene.SetRootDirectory(str(path.parent))
    return bool(scene.Import())
