"""The worker: jobs in one thread, newest wanted, errors handed on."""

from __future__ import annotations

import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
from ensam.checkpoint_store import CheckpointStore
from ensam.errors import Cancelled, InputError
from ensam.planning import Preview
from ensam.prompts import Box, PromptSet
from ensam.session import InteractiveSession
from ensam.worker import Request, Settings, Worker

from .tiny import blob_volume, tiny_checkpoint, write_checkpoint

BOX = PromptSet(Box.from_bounds_ras((30, 36, 50), (44, 50, 80)))


class SlowSession:
    """Answers with the name of its thread once its gate is open."""

    def __init__(self):
        self.gate, self.asked = threading.Event(), threading.Event()
        self.calls = 0

    def set_volume(self, volume):
        self.volume = volume

    def preview_all(self, prompts, previous):
        return Preview((8, 8, 8), (1.0, 1.0, 1.0), False, 0, "cpu")

    def segment_all(self, prompts, previous=None, cancelled=None, clicks_exclude=False):
        self.calls += 1
        self.asked.set()
        while not self.gate.wait(0.005):
            if cancelled():
                raise Cancelled
        return (FakeResult(threading.current_thread().name),)


class FakeResult:
    def __init__(self, thread):
        self.thread = thread
        self.timings = type("Timings", (), {"encode_s": 0.0})


def request_for(volume, prompts=BOX, **settings):
    return Request(volume, (prompts,), (None,), Settings(**settings))


@pytest.fixture
def a_slow_session():
    return SlowSession()


@pytest.fixture
def a_worker(a_slow_session):
    worker = Worker(lambda settings: a_slow_session)
    yield worker
    a_slow_session.gate.set()
    worker.close()


@pytest.fixture
def a_volume():
    return blob_volume()


def test_every_job_runs_in_the_same_thread(a_worker, a_slow_session, a_volume):
    a_slow_session.gate.set()
    jobs = [a_worker.submit(request_for(a_volume)) for _ in range(3)]
    assert all(job.wait(5) for job in jobs)
    assert len({job.results[0].thread for job in jobs}) == 1
    assert jobs[0].results[0].thread != threading.current_thread().name


def test_a_job_given_up_before_its_turn_never_starts(a_worker, a_slow_session, a_volume):
    first = a_worker.submit(request_for(a_volume))
    assert a_slow_session.asked.wait(5)
    second = a_worker.submit(request_for(a_volume))
    second.cancel()
    a_slow_session.gate.set()
    assert first.wait(5)
    third = a_worker.submit(request_for(a_volume))
    assert third.wait(5)
    assert a_slow_session.calls == 2
    assert isinstance(second.error, Cancelled)
    with pytest.raises(Cancelled):
        _ = second.results


def test_a_job_given_up_while_it_runs_ends_soon(a_worker, a_slow_session, a_volume):
    job = a_worker.submit(request_for(a_volume))
    assert a_slow_session.asked.wait(5)
    job.cancel()
    assert job.wait(5)
    assert isinstance(job.error, Cancelled)


def test_what_went_wrong_is_handed_on_and_the_worker_goes_on(a_volume, tmp_path):
    worker = Worker()
    broken = worker.submit(request_for(a_volume, checkpoint=str(tmp_path / "none.safetensors")))
    assert broken.wait(60)
    assert isinstance(broken.error, InputError)
    worker.close()


def test_the_answer_is_the_sessions_and_the_second_estimate_comes_from_the_first(a_volume, tmp_path):
    checkpoint = tiny_checkpoint(tmp_path)
    worker = Worker(lambda settings: InteractiveSession(checkpoint, "cpu"))
    first = worker.submit(request_for(a_volume))
    assert first.wait(60) and first.error is None
    assert first.opens_session and first.preview.runs_encoder and first.expected_s is None
    elsewhere = PromptSet(Box.from_bounds_ras((20, 26, 40), (44, 50, 80)))
    second = worker.submit(request_for(a_volume, elsewhere))
    assert second.wait(60)
    assert not second.opens_session and second.expected_s > 0
    session = InteractiveSession(checkpoint, "cpu")
    session.set_volume(a_volume)
    assert np.array_equal(first.results[0].mask, session.segment(BOX).mask)
    worker.close()


def test_after_a_job_the_worker_holds_no_image_and_after_the_scene_no_features(a_volume, tmp_path):
    session = InteractiveSession(tiny_checkpoint(tmp_path), "cpu")
    worker = Worker(lambda settings: session)
    job = worker.submit(request_for(a_volume))
    assert job.wait(60) and job.error is None
    assert session.volume is None and session.cache.nbytes
    worker.forget()
    last = worker.submit(request_for(a_volume, PromptSet(Box.from_bounds_ras((900,) * 3, (901,) * 3))))
    assert last.wait(60) and isinstance(last.error, InputError)
    assert session.volume is None and not session.cache.nbytes
    worker.close()


def test_seconds_on_another_device_than_foreseen_are_no_estimate(a_volume, tmp_path, monkeypatch):
    session = InteractiveSession(tiny_checkpoint(tmp_path), "cpu")
    answer = session.segment_all

    def on_the_cpu(*given, **named):
        return tuple(replace(one, warnings=("It went on on the CPU.",)) for one in answer(*given, **named))

    monkeypatch.setattr(session, "segment_all", on_the_cpu)
    worker = Worker(lambda settings: session)
    job = worker.submit(request_for(a_volume))
    assert job.wait(60) and job.results[0].encoder_ran
    assert worker.encode_rates == {}
    worker.close()


def test_another_checkpoint_opens_another_session_and_the_same_one_does_not(a_volume, a_slow_session):
    opened = []
    worker = Worker(lambda settings: opened.append(settings.checkpoint) or a_slow_session)
    a_slow_session.gate.set()
    for name in ("a", "a", "b"):
        assert worker.submit(request_for(a_volume, checkpoint=name)).wait(5)
    assert opened == ["a", "b"]
    worker.close()


def test_other_weights_under_the_same_path_answer_from_then_on(a_volume, tmp_path):
    store, source, worker = CheckpointStore(tmp_path / "installed"), tmp_path / "own.safetensors", Worker()
    answers = []
    for seed in (0, 1):
        path = store.install(write_checkpoint(source, seed))
        for opens in (True, False):
            job = worker.submit(request_for(a_volume, checkpoint=str(path), device="cpu"))
            assert job.wait(60) and job.error is None and job.opens_session == opens
        answers.append(job.results[0].logits)
        store.remove(path)
    session = InteractiveSession(source, "cpu")
    session.set_volume(a_volume)
    assert np.array_equal(answers[1], session.segment(BOX).logits)
    assert not np.array_equal(*answers)
    worker.close()


def test_a_worker_closed_while_it_loads_the_network_keeps_none(a_volume):
    opening, gate, opened = threading.Event(), threading.Event(), []

    def open_slowly(settings):
        opening.set()
        assert gate.wait(5)
        session = SlowSession()
        session.gate.set()
        opened.append(weakref.ref(session))
        return session

    others = set(threading.enumerate())  # of earlier tests' workers
    worker = Worker(open_slowly)
    job = worker.submit(request_for(a_volume))
    assert opening.wait(5)
    (thread,) = (one for one in threading.enumerate() if one not in others)
    worker.close()
    gate.set()
    assert job.wait(5) and job.error is None
    thread.join(5)
    assert opened[0]() is None
    again = worker.submit(request_for(a_volume))
    assert again.wait(5) and again.opens_session and again.error is None
    worker.close()
