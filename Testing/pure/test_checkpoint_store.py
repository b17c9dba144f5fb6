"""The checkpoints that a user has installed: they come whole, keep their cards, and go again."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest
from ensam.checkpoint import load_checkpoint
from ensam.checkpoint_store import CheckpointStore
from ensam.errors import CheckpointError, OutputError

from .tiny import write_checkpoint


@pytest.fixture
def a_file(tmp_path):
    return write_checkpoint(tmp_path / "liver.safetensors")


@pytest.fixture
def a_store(tmp_path):
    return CheckpointStore(tmp_path / "ENSAM" / "Models")


def files_of(store):
    return sorted(path.name for path in store.folder.iterdir()) if store.folder.exists() else []


def test_a_folder_that_is_not_there_yet_is_empty(a_store):
    assert a_store.installed() == ()
    assert not a_store.folder.exists()


def test_an_installed_checkpoint_keeps_its_name_its_weights_and_its_card(a_store, a_file):
    path = a_store.install(a_file)
    assert path == a_store.folder / "liver.safetensors"
    assert path.read_bytes() == a_file.read_bytes()
    assert json.loads(path.with_suffix(".json").read_text()) == load_checkpoint(a_file).card
    assert [(known.name, known.path) for known in a_store.installed()] == [("liver", str(path))]
    assert a_file.is_file()


def test_the_card_comes_from_inside_the_file_and_not_from_what_lies_beside(a_store, a_file):
    a_file.with_suffix(".json").write_text('{"name": "of another"}')
    card = a_store.install(a_file).with_suffix(".json")
    assert json.loads(card.read_text())["name"] == "tiny 0"


def test_another_checkpoint_of_the_same_name_gets_a_number(a_store, a_file, tmp_path):
    (tmp_path / "second").mkdir()
    (tmp_path / "third").mkdir()
    first = a_store.install(a_file)
    before = first.read_bytes()
    others = [
        a_store.install(write_checkpoint(tmp_path / folder / "liver.safetensors", seed))
        for seed, folder in enumerate(("second", "third"), 1)
    ]
    assert [path.name for path in others] == ["liver-2.safetensors", "liver-3.safetensors"]
    assert first.read_bytes() == before
    assert [known.name for known in a_store.installed()] == ["liver", "liver-2", "liver-3"]


def test_the_same_checkpoint_is_there_once_however_often_it_is_installed(a_store, a_file):
    first = a_store.install(a_file)
    assert a_store.install(a_file) == first
    assert a_store.install(first) == first
    assert files_of(a_store) == ["liver.json", "liver.safetensors"]


def test_what_is_no_checkpoint_is_refused_and_leaves_nothing(a_store, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        a_store.install(damaged)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        a_store.install(tmp_path / "gone.safetensors")
    assert files_of(a_store) == []


@pytest.mark.parametrize("ending", [".safetensors", ".json"])
def test_a_full_disk_leaves_no_half_of_a_checkpoint(a_store, a_file, monkeypatch, ending):
    whole = os.replace

    def replace(temporary, path):
        if path.suffix == ending:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(temporary, path)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OutputError, match=r"liver\.\w+' can't be written"):
        a_store.install(a_file)
    assert files_of(a_store) == []


def test_a_folder_that_cannot_be_made_is_said(a_file, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="choose a folder"):
        CheckpointStore(tmp_path / "file" / "Models").install(a_file)


def test_only_finished_checkpoints_are_listed(a_store, a_file):
    a_store.install(a_file)
    shutil.copy(a_file, a_store.folder / ".1234abcd-kidney.safetensors")
    (a_store.folder / "notes.txt").write_text("mine")
    (a_store.folder / "folder.safetensors").mkdir()
    assert [known.name for known in a_store.installed()] == ["liver"]


def test_removing_takes_the_card_too_and_can_be_repeated(a_store, a_file):
    path = a_store.install(a_file)
    a_store.remove(path)
    assert files_of(a_store) == [] and a_store.installed() == ()
    a_store.remove(path)


def test_nothing_outside_the_folder_is_ever_deleted(a_store, a_file):
    path = a_store.install(a_file)
    for other in (a_file, a_store.folder / ".." / a_file.name, path.with_suffix(".json"), a_store.folder):
        with pytest.raises(CheckpointError, match="nothing was deleted"):
            a_store.remove(other)
    assert a_file.is_file() and files_of(a_store) == ["liver.json", "liver.safetensors"]


def test_listing_needs_no_torch(a_store, a_file):
    a_store.install(a_file)
    code = (
        "import sys; from ensam.checkpoint_store import CheckpointStore;"
        f"print(len(CheckpointStore({str(a_store.folder)!r}).installed()), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["1", "False"], done.stderr
