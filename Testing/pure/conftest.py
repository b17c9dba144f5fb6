"""What every test of the pure library runs under, and a tiny session to ask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ensam.masks import MaskCrop
from ensam.network import ENSAM
from ensam.session import InteractiveSession

from .tiny import blob_volume, box_of, tiny_checkpoint


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tiny tensors gain nothing from threads, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def a_checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("models"))


@pytest.fixture
def a_volume():
    return blob_volume()


@pytest.fixture
def a_session(a_checkpoint, a_volume):
    session = InteractiveSession(a_checkpoint, "cpu")
    session.set_volume(a_volume)
    return session


@pytest.fixture
def a_box(a_volume):
    return box_of(a_volume, (12, 16, 20), (27, 31, 35))


@pytest.fixture
def encoder_calls(monkeypatch):
    """Every run of the image encoder, counted."""
    calls = []
    encode = ENSAM.encode
    monkeypatch.setattr(
        ENSAM, "encode", lambda self, image, mm: calls.append(image.shape) or encode(self, image, mm)
    )
    return calls


@pytest.fixture
def nothing_happens(tmp_path, monkeypatch):
    """What a hostile file would run leaves a file "hacked"."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "hacked").exists()


@pytest.fixture
def a_mask():
    return MaskCrop(np.ones((6, 8, 8), bool), (17, 20, 24))
