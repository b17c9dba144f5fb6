"""A training goes on with what it was begun with: no judge was trained on, and weights aren't mixed."""

import os
import shutil
import signal

import pytest
import torch
from ensam.checkpoint import load_checkpoint, save_checkpoint
from ensam.errors import InputError
from ensam_training import finetuning
from ensam_training import training as training_module
from ensam_training.__main__ import main
from ensam_training.beginning import BEGINNING, names_of
from ensam_training.configuration import Limit, TrainingConfig
from ensam_training.finetuning import default_config, finetune, held_out
from ensam_training.run_folder import Reporter, RunFolder
from ensam_training.trainer import Trainer
from ensam_training.training import RunOptions, train

from .labelled_files import write_case
from .tiny_network import BallWindows, ball_case, tiny_network


@pytest.fixture(autouse=True)
def windows_that_take_no_time(monkeypatch):
    monkeypatch.setattr(training_module, "WindowSampler", BallWindows)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    save_checkpoint(path, tiny_network(0), 16**3, {"name": "base"})
    return path


def run(folder, training, validation, stop_at=None):
    config = TrainingConfig(limit=Limit(2, "steps"), budget=(16**3, 16**3), validation_budget=16**3)
    options = RunOptions(workers=0, stop_at=stop_at)
    network = tiny_network().config
    return train(network, config, training, validation, folder, options=options, say=lambda text: None)


@pytest.mark.parametrize("left", [{"state.pt", "best.pt"}, {"state.pt"}, {"best.pt"}])
def test_others_than_at_the_beginning_are_not_held_out(tmp_path, left):
    run(tmp_path, [], [ball_case(0)])
    for name in {"state.pt", "best.pt"} - left:
        (tmp_path / name).unlink()
    kept = {name: (tmp_path / name).read_bytes() for name in left}
    for others in ([ball_case(1)], [ball_case(0), ball_case(1)], []):
        with pytest.raises(InputError, match=r"begun with other held-out objects.*: give it the same"):
            run(tmp_path, [], others)
    assert {name: (tmp_path / name).read_bytes() for name in left} == kept


def test_there_may_be_more_to_train_on(tmp_path):
    run(tmp_path, [ball_case(1)], [ball_case(0)], stop_at=1)
    assert run(tmp_path, [ball_case(1), ball_case(2)], [ball_case(0)]).step_count == 2


def test_a_training_that_saved_nothing_begins_anew(tmp_path):
    run(tmp_path, [], [ball_case(0)], stop_at=0)
    (tmp_path / "state.pt").unlink()
    assert run(tmp_path, [], [ball_case(1)]).step_count == 2


@pytest.mark.parametrize("text", ["[", "[]", '{"trained_on": 5}', '{"judges": [[[], 1]]}', '{"held_out": 1}'])
def test_a_damaged_note_is_said_to_be(tmp_path, text):
    run(tmp_path, [], [], stop_at=1)
    (tmp_path / BEGINNING).write_text(text)
    with pytest.raises(InputError, match=r"beginning\.json' is damaged: start the training again"):
        run(tmp_path, [], [])


def tune(base, folder, data):
    checkpoint = load_checkpoint(base)
    config = default_config(checkpoint, Limit(2, "steps"), budget=(16**3, 16**3))
    with Reporter(folder) as reporter:
        options = RunOptions(workers=0, stop_at=1)
        return finetune(
            checkpoint, base, data, config, folder / "new.safetensors", {}, options,
            torch.device("cpu"), reporter, say=lambda text: None,
        )  # fmt: skip


def test_weights_are_not_mixed_with_those_of_another_base(base, tmp_path):
    data = held_out([ball_case(0)], [ball_case(1)])
    assert tune(base, tmp_path / "run", data).stopped
    save_checkpoint(tmp_path / "other.safetensors", tiny_network(1), 16**3, {"name": "other"})
    with pytest.raises(InputError, match="begun with another checkpoint"):
        tune(tmp_path / "other.safetensors", tmp_path / "run", data)


def test_who_was_trained_on_does_not_judge_later(base, tmp_path):
    training, validation = [ball_case(0)], [ball_case(1)]
    tune(base, tmp_path / "run", held_out(training, validation, [ball_case(2)]))
    before = RunFolder(tmp_path / "run").outcome
    with pytest.raises(InputError, match="other objects to judge it by"):
        tune(base, tmp_path / "run", held_out([ball_case(3)], validation, training))
    assert before.comparisons and RunFolder(tmp_path / "run").outcome == before


class Attempts:
    """A training by the command, the first attempt at which is stopped. divisions: the objects that each was
    given to train on and to hold out."""

    def __init__(self, base, folder, monkeypatch):
        self.cases, self.state, self._patch = folder / "cases", folder / "run", monkeypatch
        self.divisions = []
        whole = finetuning.finetune

        def noted(checkpoint, start, data, *more, **options):
            self.divisions.append([names_of(cases) for cases in (data.training, data.validation)])
            return whole(checkpoint, start, data, *more, **options)

        monkeypatch.setattr(finetuning, "finetune", noted)
        self._arguments = ["finetune", str(base), str(self.cases), "--state", str(self.state)]
        self._arguments += ["--cache", str(folder / "cache"), "-o", str(self.state / "new.safetensors")]
        self._arguments += ["--epochs", "2", "--workers", "0", "--device", "cpu"]

    def begin(self):
        step = Trainer.step

        def stopped(trainer, samples):
            os.kill(os.getpid(), signal.SIGTERM)
            return step(trainer, samples)

        with self._patch.context() as patch:
            patch.setattr(Trainer, "step", stopped)
            assert main(self._arguments) in (0, 3)
        assert RunFolder(self.state).outcome.stopped

    def go_on(self):
        return main(self._arguments)


@pytest.fixture
def attempts(base, tmp_path, monkeypatch):
    attempts = Attempts(base, tmp_path, monkeypatch)
    for seed in range(4):
        write_case(attempts.cases, f"mr_{seed:03}", seed)
    return attempts


def test_cases_that_are_added_to_a_stopped_training_wait_for_another(attempts, capsys):
    attempts.begin()
    for seed in range(4, 12):
        write_case(attempts.cases, f"mr_{seed:03}", seed)
    assert attempts.go_on() in (0, 3)
    assert attempts.divisions[0] == attempts.divisions[1]
    assert "8 objects that have come since this training was begun" in capsys.readouterr().out
    assert not RunFolder(attempts.state).outcome.stopped


@pytest.mark.parametrize(
    ("patients", "warning"),
    [("abcd", "The same held-out patients"), ("aabb", ""), ("aaaa", "All cases count as one patient's")],
)
def test_patients_that_are_told_in_between_move_nobody(attempts, patients, warning):
    table = attempts.cases.with_name("cases.csv")
    table.write_text("case,group\n" + "".join(f"mr_{n:03},{one}\n" for n, one in enumerate("aabc")))
    attempts.begin()
    table.write_text("case,group\n" + "".join(f"mr_{n:03},{one}\n" for n, one in enumerate(patients)))
    assert attempts.go_on() in (0, 3)
    assert attempts.divisions[0] == attempts.divisions[1]
    assert RunFolder(attempts.state).outcome.warning.startswith(warning)


def test_one_object_that_goes_on_is_warned_of_as_before(attempts):
    for seed in range(1, 4):
        shutil.rmtree(attempts.cases / f"mr_{seed:03}")
    attempts.begin()
    assert attempts.go_on() == 0
    assert "only one object" in RunFolder(attempts.state).outcome.warning


def test_a_held_out_object_that_was_corrected_in_between_does_not_judge(attempts, capsys):
    attempts.begin()
    before = RunFolder(attempts.state).outcome
    ((held, _),) = attempts.divisions[0][1]
    write_case(attempts.cases, held, 9)
    assert attempts.go_on() == 2
    said = capsys.readouterr().err
    assert f"begun with other held-out objects, among them one of '{held}' as it was then" in said
    assert RunFolder(attempts.state).outcome == before
    shutil.rmtree(attempts.cases / held)
    assert attempts.go_on() == 2
    assert RunFolder(attempts.state).outcome == before


def test_an_object_to_train_on_may_be_corrected_or_taken_away_in_between(attempts):
    attempts.begin()
    (one, _), (other, _), *_ = attempts.divisions[0][0]
    write_case(attempts.cases, one, 9)
    shutil.rmtree(attempts.cases / other)
    assert attempts.go_on() in (0, 3)
    assert attempts.divisions[1] == [
        [name for name in attempts.divisions[0][0] if name[0] != other],
        attempts.divisions[0][1],
    ]
