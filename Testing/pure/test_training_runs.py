"""A run can be stopped and resumed to the same weights, and survives little memory and a full disk."""

import errno
import itertools
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from ensam.checkpoint import load_checkpoint, save_checkpoint
from ensam.errors import InputError, OutputError
from ensam.network import ENSAM, NetworkConfig
from ensam_training import state as state_module
from ensam_training import training as training_module
from ensam_training.cases import Case
from ensam_training.configuration import Limit, TrainingConfig
from ensam_training.curves import read_rows
from ensam_training.muon import SPHERE_RATE
from ensam_training.state import save_whole
from ensam_training.trainer import Trainer, architecture_of
from ensam_training.training import RunOptions, train
from ensam_training.validation import ObjectScore, mean_over_datasets, mean_over_objects, score_objects

from .tiny_network import TINY, BallWindows, ball_case, tiny_network

NETWORK = NetworkConfig(**TINY)
STEPS = TrainingConfig(limit=Limit(6, "steps"), budget=(16**3, 16**3), validation_budget=16**3)


def run(folder, config=STEPS, validation=(), start=None, say=None, network=NETWORK, **options):
    """A run on windows of balls."""
    options = RunOptions(**{"workers": 0, "log_every": 2, **options})
    return train(network, config, [], validation, folder, start, options, say=say or (lambda text: None))


@pytest.fixture(autouse=True, scope="module")
def windows_that_take_no_time():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_module, "WindowSampler", BallWindows)
        yield


@pytest.fixture(scope="module")
def a_case():
    return ball_case(0)


@pytest.fixture(scope="module")
def a_whole_run(tmp_path_factory):
    """Six steps of two windows at once, with deep supervision."""
    folder = tmp_path_factory.mktemp("whole")
    config = TrainingConfig(**{**STEPS.__dict__, "accumulate": 2, "deep_weight": 0.3})
    return folder, config, run(folder, config)


def state_of(folder):
    return torch.load(folder / "state.pt", weights_only=True)


def losses_of(folder):
    return [(row["step"], row["loss_box"], row["loss_clicks"]) for row in read_rows(folder / "log.csv")]


@pytest.mark.parametrize("workers", [0, 1])
def test_three_steps_and_three_more_after_resuming_equal_six_at_once(a_whole_run, tmp_path, workers):
    folder, config, whole = a_whole_run
    first = run(tmp_path, config, stop_at=3)
    assert first.step_count == 3
    resumed = run(tmp_path, config, workers=workers)
    assert resumed.step_count == whole.step_count == 6
    assert losses_of(tmp_path) == losses_of(folder)
    assert len(losses_of(folder)) == 3
    one, other = state_of(folder), state_of(tmp_path)
    for part in ("network", "average"):
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part])
    assert all(torch.equal(one["heads"][0][name], other["heads"][0][name]) for name in one["heads"][0])
    assert one["heads"][0]["0.weight"].any()
    for name in ("step", "drawn", "skipped", "budget", "training"):
        assert one[name] == other[name]


def test_a_run_that_was_killed_repeats_the_steps_after_its_last_saved_state(a_whole_run, tmp_path):
    folder, config, _ = a_whole_run
    run(tmp_path, config, stop_at=3)
    # Rows that a process wrote between its last saved state and its end.
    with (tmp_path / "log.csv").open("a") as log:
        log.write("4,0.1,0.1,9.9,9.9,1\n")
    run(tmp_path, config)
    assert losses_of(tmp_path) == losses_of(folder)


def test_a_run_that_is_done_does_nothing_more(a_whole_run, monkeypatch):
    folder, config, whole = a_whole_run
    monkeypatch.setattr(Trainer, "step", lambda self, samples: pytest.fail("it stepped"))
    assert run(folder, config).step_count == whole.step_count


def test_a_state_of_another_network_or_optimiser_is_not_resumed(a_whole_run):
    folder, config, _ = a_whole_run
    with pytest.raises(InputError, match="another network"):
        run(folder, config, network=NetworkConfig.paper(**TINY))
    with pytest.raises(InputError, match="another optimiser"):
        run(folder, TrainingConfig(**{**config.__dict__, "optimiser": "adam"}))


# Where a run starts from


def test_a_run_starts_from_another_runs_state_with_a_schedule_of_its_own(a_whole_run, tmp_path):
    folder, config, whole = a_whole_run
    limit = TrainingConfig(**{**config.__dict__, "limit": Limit(1e-9, "minutes")})
    started = run(tmp_path, limit, start=folder / "state.pt", stop_at=6)
    assert started.step_count == 6 and started.seconds == 0
    assert started.earlier_seconds == pytest.approx(whole.seconds)
    assert all(torch.equal(started.average[name], whole.average[name]) for name in whole.average)


def test_a_run_that_starts_from_a_state_makes_all_of_its_own_steps(a_whole_run, tmp_path):
    folder, config, _ = a_whole_run
    for stop_at, steps in ((9, 9), (None, 12)):  # also when it is resumed
        started = run(tmp_path, config, start=folder / "state.pt", stop_at=stop_at, log_every=1)
        assert (started.step_count, started.spent()) == (steps, steps - 6)
    rows = read_rows(tmp_path / "log.csv")
    assert [row["step"] for row in rows] == [7, 8, 9, 10, 11, 12]
    # Its warm-up is its own too.
    assert [row["rate"] for row in rows[:4]] == [0.02, 0.03, 0.04, 0.05]


def test_rates_are_those_asked_for_and_not_those_of_the_state(a_whole_run, tmp_path):
    folder, config, _ = a_whole_run
    other = TrainingConfig(**{**config.__dict__, "muon_lr": 0.5, "muon_decay": 0.25, "rest_lr": 0.125})
    started = run(tmp_path, other, start=folder / "state.pt", stop_at=6)
    groups = [group for optimiser in started.optimisers for group in optimiser.param_groups]
    assert [group["initial_lr"] for group in groups] == pytest.approx([0.5, 0.5 * SPHERE_RATE, 0.125])
    assert groups[0]["weight_decay"] == 0.25
    assert started.optimisers[0].state  # the momenta are there


def test_a_state_whose_optimiser_had_other_groups_is_not_resumed(a_whole_run, tmp_path):
    folder, config, _ = a_whole_run
    state = state_of(folder)
    muon = state["optimisers"][0]
    muon["param_groups"] = [{**muon["param_groups"][0], "params": list(range(len(muon["state"])))}]
    torch.save(state, tmp_path / "old.pt")
    with pytest.raises(InputError, match="another optimiser"):
        run(tmp_path / "run", config, start=tmp_path / "old.pt")


def test_deep_supervision_may_begin_or_end_with_a_state(a_whole_run, tmp_path):
    folder, config, _ = a_whole_run
    without = TrainingConfig(**{**config.__dict__, "deep_weight": 0.0})
    assert run(tmp_path / "a", without, start=folder / "state.pt").step_count == 12
    begun = run(tmp_path / "b", config, start=tmp_path / "a" / "state.pt", stop_at=12)
    assert not begun.heads[0].weight.any()


def test_a_run_starts_from_a_checkpoint_whose_architecture_counts(tmp_path):
    paper = tiny_network(3, dense_prompts=False)
    save_checkpoint(tmp_path / "m.safetensors", paper, 24**3, {"name": "tiny"})
    assert architecture_of(tmp_path / "m.safetensors") == paper.config
    started = run(tmp_path / "run", start=tmp_path / "m.safetensors", stop_at=0)
    assert started.network.config == paper.config
    saved = load_checkpoint(tmp_path / "m.safetensors").state["image_encoder.stem.weight"]
    assert torch.equal(started.network.image_encoder.stem.weight.detach(), saved)
    assert torch.equal(started.average["image_encoder.stem.weight"], saved)
    # The same command goes on from there.
    for stop_at in (1, 2):
        again = run(tmp_path / "run", start=tmp_path / "m.safetensors", stop_at=stop_at)
        assert (again.step_count, again.network.config) == (stop_at, paper.config)


def test_a_run_starts_from_the_best_weights_of_another(a_whole_run, tmp_path):
    folder, config, _ = a_whole_run
    started = run(tmp_path, config, start=folder / "best.pt", stop_at=0)
    best = torch.load(folder / "best.pt", weights_only=True)
    assert (started.step_count, started.network.config.to_dict()) == (0, best["architecture"])
    weights, saved = started.network.image_encoder.stem.weight.detach(), best["network"]
    assert torch.equal(weights, saved["image_encoder.stem.weight"])
    assert torch.equal(weights, started.average["image_encoder.stem.weight"])


def test_a_missing_file_to_start_from_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no file '.*gone\.pt'"):
        run(tmp_path, start=tmp_path / "gone.pt")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_window_that_can_not_be_made_ends_the_run_in_the_one_sentence(monkeypatch, tmp_path, workers):
    def damaged(self, index):
        raise InputError("The case 'one' can't be read: make the cache again.")

    monkeypatch.setattr(BallWindows, "window", damaged)
    monkeypatch.setattr(BallWindows, "__getitem__", damaged)
    with pytest.raises(InputError) as told:
        run(tmp_path, workers=workers)
    assert str(told.value) == "The case 'one' can't be read: make the cache again."


# Little memory


@pytest.fixture
def a_machine_with_little_memory(monkeypatch):
    """Windows of more than 26^3 voxels don't fit."""
    step = Trainer.step

    def narrow(self, samples):
        if self.budget[1] > 26**3:
            raise torch.OutOfMemoryError("out of memory")
        return step(self, samples)

    monkeypatch.setattr(Trainer, "step", narrow)


def test_out_of_memory_halves_the_windows_says_so_and_goes_on(a_machine_with_little_memory, tmp_path):
    said = []
    config = TrainingConfig(**{**STEPS.__dict__, "budget": (16**3, 32**3), "limit": Limit(2, "steps")})
    trainer = run(tmp_path, config, say=said.append)
    assert trainer.step_count == 2
    assert trainer.budget == (16**3, 32**3 // 2)
    assert [text for text in said if "Out of memory: windows of at most 16384 voxels (25^3)" in text]
    assert tuple(state_of(tmp_path)["budget"]) == trainer.budget


def test_a_run_goes_on_with_the_smaller_of_the_saved_windows_and_those_asked_for(
    a_machine_with_little_memory, tmp_path
):
    limit, (low, high) = Limit(2, "steps"), (16**3, 32**3)
    sizes = {"asked": (low, high), "fewer": (low, 20**3), "more": (24**3, 48**3)}
    configs = {
        name: TrainingConfig(**{**STEPS.__dict__, "budget": size, "limit": limit})
        for name, size in sizes.items()
    }
    run(tmp_path, configs["asked"], stop_at=1)
    assert run(tmp_path, configs["more"], stop_at=1).budget == (low, high // 2)
    assert run(tmp_path, configs["fewer"]).budget == (low, 20**3)


def test_windows_that_can_not_get_smaller_end_the_run_with_advice(monkeypatch, tmp_path):
    def never(self, samples):
        raise MemoryError

    monkeypatch.setattr(Trainer, "step", never)
    with pytest.raises(InputError, match="smaller --budget"):
        run(tmp_path)


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch, tmp_path):
    def broken(self, samples):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(Trainer, "step", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run(tmp_path)


# A full disk


@pytest.fixture
def a_full_disk(monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(state_module.os, "fsync", full)


def test_a_full_disk_neither_ends_the_run_nor_costs_the_last_good_state(tmp_path, request):
    run(tmp_path, stop_at=2)
    before = (tmp_path / "state.pt").read_bytes()
    request.getfixturevalue("a_full_disk")
    said = []
    with pytest.raises(OutputError, match="make room on the disk, and go on"):
        run(tmp_path, say=said.append)
    assert [row["step"] for row in read_rows(tmp_path / "log.csv")][-1] == 6
    assert (tmp_path / "state.pt").read_bytes() == before
    assert any("state.pt" in text and "room" in text and "goes on" in text for text in said)
    assert not list(tmp_path.glob("*.part"))


def test_what_is_saved_comes_back_and_nothing_is_left_beside_it(tmp_path):
    save_whole({"numbers": [1, 2], "tensor": torch.ones(3)}, tmp_path / "a.pt")
    back = torch.load(tmp_path / "a.pt", weights_only=True)
    assert back["numbers"] == [1, 2] and torch.equal(back["tensor"], torch.ones(3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


# What is written down


def test_the_best_weights_on_held_out_cases_are_kept(a_case, tmp_path, monkeypatch):
    answers = iter([[ObjectScore("a", 1, dice)] for dice in ((0.2, 0.3), (0.6, 0.7), (0.1, 0.2))])
    monkeypatch.setattr(training_module, "score_objects", lambda *arguments: next(answers))
    config = TrainingConfig(**{**STEPS.__dict__, "validate_every": 2})
    run(tmp_path, config, [a_case])
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert best["scores"] == [0.6, 0.7] and best["step"] == 4
    ENSAM(NetworkConfig.from_dict(best["architecture"])).load_state_dict(best["network"])
    rows = read_rows(tmp_path / "validation.csv")
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert [row["dice_1"] for row in rows] == [0.3, 0.7, 0.2]
    assert (tmp_path / "curve.png").stat().st_size > 5000


def scoring(monkeypatch, *values):
    """Validations that find these Dice, one after the other."""
    answers = iter(values)
    monkeypatch.setattr(
        training_module, "score_objects", lambda *arguments: [ObjectScore("a", 1, (next(answers),))]
    )


def test_best_weights_that_are_later_than_the_saved_state_are_not_overwritten_by_worse(
    a_case, tmp_path, monkeypatch
):
    config = TrainingConfig(**{**STEPS.__dict__, "validate_every": 2})
    run(tmp_path, config, [a_case], stop_at=2)
    state = (tmp_path / "state.pt").read_bytes()
    scoring(monkeypatch, 0.2, 0.6, 0.1)
    run(tmp_path, config, [a_case])
    (tmp_path / "state.pt").write_bytes(state)  # as if it had been killed before the next was saved
    scoring(monkeypatch, 0.3, 0.3, 0.3)
    run(tmp_path, config, [a_case], to_beat=0.25)
    assert torch.load(tmp_path / "best.pt", weights_only=True)["scores"] == [0.6]
    assert state_of(tmp_path)["loop"]["best"] == 0.6


def test_a_state_does_not_lower_what_is_to_beat(a_case, tmp_path, monkeypatch):
    config = TrainingConfig(**{**STEPS.__dict__, "validate_every": 2})
    run(tmp_path, config, [a_case], stop_at=2)
    scoring(monkeypatch, 0.2, 0.3, 0.2)
    run(tmp_path, config, [a_case], to_beat=0.5)
    assert not (tmp_path / "best.pt").exists()


def no_room_for_the_best(monkeypatch, *times):
    """At these times, counted from 0, that best.pt is written there is no room."""
    save, count = training_module.try_to_save, itertools.count()

    def refuse(value, path):
        if path.name == "best.pt" and next(count) in times:
            return "No room."
        return save(value, path)

    monkeypatch.setattr(training_module, "try_to_save", refuse)


@pytest.mark.parametrize(("scores", "when"), [((0.6, 0.5, 0.4), 0), ((0.4, 0.5, 0.6), 2)])
def test_the_best_weights_are_kept_as_soon_as_there_is_room(a_case, tmp_path, monkeypatch, scores, when):
    scoring(monkeypatch, *scores)
    no_room_for_the_best(monkeypatch, when)
    run(tmp_path, TrainingConfig(**{**STEPS.__dict__, "validate_every": 2}), [a_case])
    assert torch.load(tmp_path / "best.pt", weights_only=True)["scores"] == [0.6]


def test_best_weights_that_find_no_room_are_an_error_and_found_again(a_case, tmp_path, monkeypatch):
    config = TrainingConfig(**{**STEPS.__dict__, "validate_every": 2})
    scoring(monkeypatch, 0.3, 0.4, 0.5, 0.5)
    with monkeypatch.context() as patch:
        no_room_for_the_best(patch, *range(9))
        with pytest.raises(OutputError, match="couldn't be kept: make room"):
            run(tmp_path, config, [a_case], to_beat=0.2)
    assert not (tmp_path / "best.pt").exists()
    run(tmp_path, config, [a_case], to_beat=0.2)
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert (best["step"], best["scores"]) == (6, [0.5])


def test_a_dataset_of_many_objects_does_not_choose_the_weights_alone(a_case, tmp_path, monkeypatch):
    first = [ObjectScore("a", i, (0.6, 0.6), "large") for i in range(9)] + [
        ObjectScore("b", 1, (0.1, 0.1), "small")
    ]
    second = [ObjectScore("a", i, (0.5, 0.5), "large") for i in range(9)] + [
        ObjectScore("b", 1, (0.6, 0.6), "small")
    ]
    assert mean_over_objects(first) > mean_over_objects(second)
    assert mean_over_datasets(first) == pytest.approx(0.35) and mean_over_datasets(second) == pytest.approx(
        0.55
    )
    answers, said = iter([first, second]), []
    monkeypatch.setattr(training_module, "score_objects", lambda *arguments: next(answers))
    config = TrainingConfig(**{**STEPS.__dict__, "limit": Limit(2, "steps"), "validate_every": 1})
    run(tmp_path, config, [a_case], say=said.append)
    # What is written down stays comparable with older logs.
    assert [row["dice_box"] for row in read_rows(tmp_path / "validation.csv")] == [0.55, 0.51]
    assert torch.load(tmp_path / "best.pt", weights_only=True)["step"] == 2
    assert any("[0.55, 0.55]; compared by 0.3500" in text for text in said)


def test_layers_that_hardly_learn_are_named_once(a_case, tmp_path, monkeypatch):
    monkeypatch.setattr(training_module, "score_objects", lambda *arguments: [ObjectScore("a", 1, (0.5,))])
    monkeypatch.setattr(training_module, "hardly_learning", lambda *arguments: ["levels.3", "mlp"])
    monkeypatch.setattr(training_module, "SETTLED", 2)
    said = []
    for steps in (2, 3):  # also when it goes on
        limit = {"limit": Limit(steps, "steps"), "validate_every": 1}
        run(tmp_path, TrainingConfig(**{**STEPS.__dict__, **limit}), [a_case], say=said.append)
    assert len(read_rows(tmp_path / "validation.csv")) == 3
    assert said.count("Warning: Layers that hardly learn: levels.3, mlp.") == 1


def test_a_run_tells_where_its_time_went(tmp_path):
    said = []
    run(tmp_path, stop_at=1, say=said.append)
    assert any(all(part in text for part in ("data", "forward", "backward", "optimiser")) for text in said)


def test_validation_is_the_same_every_time_and_needs_objects(a_case):
    network = tiny_network(0)
    one, again = (score_objects(network, [a_case], 16**3, clicks=2) for _ in range(2))
    assert one == again
    assert all(len(score.dice) == 3 and score.case == a_case.name for score in one)
    assert {score.dataset for score in one} == {a_case.dataset}
    assert {score.label for score in one} <= set(a_case.objects)
    empty = Case.from_arrays("none", a_case.image, np.zeros_like(a_case.labels), (1, 1, 1))
    with pytest.raises(InputError, match="no object"):
        score_objects(network, [empty], 16**3)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_memory_of_a_step_is_kept_for_the_next():
    code = """if True:
        import os, sys, torch
        from ensam_training.allocator import keep_freed_memory
        held = lambda: int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if "keep" in sys.argv:
            keep_freed_memory()
        before = held()
        torch.ones(4 << 20)
        print(held() - before > 12 << 20)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for argument, kept in (("", "False"), ("keep", "True")):
        command = [sys.executable, "-c", code, argument]
        assert subprocess.check_output(command, env=environment, text=True).strip() == kept


def test_a_run_that_fails_does_not_wait_for_its_workers_for_ever():
    code = """if True:
        from torch.utils.data import DataLoader
        from ensam_training import pool
        pool._GRACE_SECONDS = 0.1
        # The error holds the loader until the interpreter's end, which stops the workers by a signal.
        loader = iter(DataLoader(range(1000), None, num_workers=2, worker_init_fn=pool.serve_parent))
        next(loader)
        raise ValueError("unforeseen")
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60)
    assert b"unforeseen" in done.stderr


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_told_to_stop_saves_and_goes_on_later(a_whole_run, tmp_path, monkeypatch, workers):
    folder, config, _ = a_whole_run
    step = Trainer.step

    def told(self, samples):
        if self.step_count == 2:
            # By another process, as a terminal or a cluster does it: to all processes of the run.
            everybody = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
            subprocess.run(["kill", "-TERM", *map(str, everybody)], check=True)
            time.sleep(0.1)
        return step(self, samples)

    before = signal.getsignal(signal.SIGTERM)
    said = []
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", told)
        assert run(tmp_path, config, say=said.append, workers=workers).step_count == 3
    assert any("goes on from there" in text for text in said)
    assert signal.getsignal(signal.SIGTERM) is before
    run(tmp_path, config)
    assert losses_of(tmp_path) == losses_of(folder)


def test_a_stop_has_what_was_learned_so_far_judged_and_changes_nothing_of_what_follows(
    a_case, tmp_path, monkeypatch
):
    config = TrainingConfig(**{**STEPS.__dict__, "validate_every": 2})
    scoring(monkeypatch, 0.1, 0.5, 0.2, 0.3)
    with monkeypatch.context() as patch:
        patch.setattr(training_module.StopRequest, "made", property(lambda self: len(steps) == 3))
        steps = []
        run(tmp_path, config, [a_case], watch=steps.append)
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert (best["step"], best["scores"]) == (3, [0.5])
    run(tmp_path, config, [a_case])
    assert [row["step"] for row in read_rows(tmp_path / "validation.csv")] == [2, 3, 4, 6]
    assert torch.load(tmp_path / "best.pt", weights_only=True)["step"] == 3
