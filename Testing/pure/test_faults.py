"""What fails in the middle costs neither a file nor an answer: the next attempt is as if nothing had been."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from ensam import session as session_module
from ensam.errors import InputError
from ensam.files import replacing
from ensam.network import ENSAM
from ensam.prompts import Point, PromptSet
from ensam.session import InteractiveSession

from .tiny import blob_volume, tiny_checkpoint

OUT_OF_MEMORY = {
    "numpy": lambda: MemoryError("Unable to allocate 3.0 GiB"),
    "torch": lambda: torch.OutOfMemoryError("CUDA out of memory"),
    "torch on a CPU": lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    "torch on Windows": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:115] data. DefaultCPUAllocator: not enough memory: you tried to "
        "allocate 3221225472 bytes."
    ),
    "Apple's MPS": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    "cuDNN": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
}
STAGES = {
    "cutting the window out": (session_module, "extract"),
    "the encoder": (ENSAM, "encode"),
    "writing prompts as tensors": (session_module, "_as_tensors"),
    "the decoder": (ENSAM, "decode"),
    "enlarging the logits": (session_module, "enlarge"),
    "describing the window": (InteractiveSession, "_describe"),
}
# A window of more voxels than the checkpoint's budget, so that every stage is gone through.
PROMPTS = PromptSet(points=(Point((38.0, 44.0, 70.0), True), Point((20.0, 30.0, 40.0), False)))


@pytest.fixture(scope="module")
def a_checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def a_session(a_checkpoint):
    session = InteractiveSession(a_checkpoint, "cpu")
    session.set_volume(blob_volume())
    return session


def fail(monkeypatch, stage, error, times=1):
    """Let a stage raise so many times before it works again."""
    holder, name = STAGES[stage]
    works, left = getattr(holder, name), [times]

    def failing(*arguments, **named):
        if left[0]:
            left[0] -= 1
            raise error()
        return works(*arguments, **named)

    monkeypatch.setattr(holder, name, failing)
    return left


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
@pytest.mark.parametrize("stage", STAGES)
def test_after_memory_ran_out_anywhere_the_next_answer_is_the_same_as_ever(
    a_session, monkeypatch, stage, kind
):
    expected = a_session.segment(PROMPTS)
    a_session.cache.clear()
    left = fail(monkeypatch, stage, OUT_OF_MEMORY[kind])
    try:
        answer = a_session.segment(PROMPTS)
        # Beside the network it is tried once more without the features that are kept, in the same window.
        is_smaller = stage not in ("enlarging the logits", "describing the window")
        assert any("Memory ran out" in note for note in answer.notes) == is_smaller
    except InputError as error:
        assert "too little free memory" in str(error)
    assert left == [0]
    again = a_session.segment(PROMPTS)
    assert np.array_equal(again.logits, expected.logits) and again.offset == expected.offset


@pytest.mark.parametrize("stage", STAGES)
def test_after_a_device_was_lost_the_defect_is_told_and_the_next_answer_is_the_same_as_ever(
    a_session, monkeypatch, stage
):
    expected = a_session.segment(PROMPTS)
    a_session.cache.clear()
    fail(monkeypatch, stage, lambda: RuntimeError("CUDA error: the device was lost"))
    with pytest.raises(RuntimeError, match="device was lost"):
        a_session.segment(PROMPTS)
    assert np.array_equal(a_session.segment(PROMPTS).logits, expected.logits)


A_KILLED_WRITER = """
    import os, signal, sys
    from ensam.files import replacing
    with replacing(sys.argv[1]) as temporary:
        temporary.write_bytes(b"half of ")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path):
    path = tmp_path / "prompts.json"
    path.write_bytes(b"the old one")
    code = textwrap.dedent(A_KILLED_WRITER)
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"the old one"
    with replacing(path) as temporary:
        temporary.write_bytes(b"the new one")
    assert path.read_bytes() == b"the new one"
