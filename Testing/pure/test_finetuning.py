"""Fine-tuning holds out what it can, tells before from after, and writes only what is better."""

import csv
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from ensam.checkpoint import load_checkpoint, save_checkpoint
from ensam.errors import InputError, OutputError
from ensam_training import finetuning, finetuning_commands, judging
from ensam_training import training as training_module
from ensam_training.__main__ import main
from ensam_training.cases import Case
from ensam_training.collection import Collection, read_facts
from ensam_training.configuration import Limit
from ensam_training.discovery import find_cases
from ensam_training.finetuning import default_config, divide, finetune, held_out
from ensam_training.judging import table
from ensam_training.run_folder import Comparison, Outcome, Reporter
from ensam_training.trainer import Trainer
from ensam_training.training import RunOptions
from ensam_training.validation import ObjectScore

from .labelled_files import write_case
from .tiny_network import BallWindows, ball_case, tiny_network

CARD = {"name": "ours", "licence": "CC0"}


@pytest.fixture(autouse=True)
def windows_that_take_no_time(monkeypatch):
    monkeypatch.setattr(training_module, "WindowSampler", BallWindows)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    facts = {"name": "base", "licence": "CC-BY", "metrics": {"old": 1}, "training_data": [{"dataset": "x"}]}
    save_checkpoint(path, tiny_network(0), 16**3, facts)
    return path


def three_objects(name="mr_three"):
    labels = np.zeros((20, 20, 20), np.uint8)
    for label, z in ((1, 1), (2, 8), (3, 15)):
        labels[z : z + 4, 5:10, 5:10] = label
    return Case.from_arrays(name, labels * 60, labels, (1, 1, 1))


@pytest.mark.parametrize(
    ("checkpoint", "data", "said"),
    [
        ("gone.safetensors", "data", "no checkpoint 'gone.safetensors'"),
        (None, "gone", "no folder of cases 'gone'"),
    ],
)
def test_a_recipe_of_what_is_not_there_is_refused_by_its_name(
    base, tmp_path, monkeypatch, capsys, checkpoint, data, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert main(["recipe", checkpoint or str(base), data, "-o", "recipe"]) == 2
    assert capsys.readouterr().err == f"There is {said}: check the path.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_recipe_takes_the_table_beside_the_cases_along(base, tmp_path, monkeypatch):
    for seed, name in enumerate(("one", "two")):
        write_case(tmp_path / "my.data", name, seed)
    (tmp_path / "my.data.csv").write_text("case,group\none,anna\ntwo,anna\n")
    monkeypatch.chdir(tmp_path / "my.data")
    assert main(["recipe", str(base), ".", "-o", str(tmp_path / "recipe")]) == 0
    assert [case.group for case in find_cases(tmp_path / "recipe" / "cases")] == ["anna", "anna"]


def test_a_recipe_does_not_tell_where_its_cases_were_collected(base, tmp_path):
    source, collection = tmp_path / "Doe, John" / "labels", Collection(tmp_path / "collection")
    write_case(source, "one")
    assert main(["collect", str(source), "-o", str(collection.folder)]) == 0
    assert main(["recipe", str(base), str(collection.folder), "-o", str(tmp_path / "recipe")]) == 0
    (case,) = collection.cases()
    text = (tmp_path / "recipe" / "cases" / "one" / "case.json").read_text()
    assert "Doe" not in text and read_facts(tmp_path / "recipe" / "cases" / "one" / "case.json") == replace(
        case.facts, source="labels"
    )
    assert case.facts.source == str(source)  # by which it is known to be the same folder another time


def test_a_recipe_of_a_table_says_how_to_get_a_folder(base, tmp_path, capsys):
    (tmp_path / "list.csv").write_text("image,label\n")
    assert main(["recipe", str(base), str(tmp_path / "list.csv"), "-o", str(tmp_path / "recipe")]) == 2
    said = capsys.readouterr().err
    assert "list.csv' is no folder: ensam-train collect makes one" in said and said.count("\n") == 1
    assert not (tmp_path / "recipe").exists()


# Who is held out


def test_of_many_patients_a_share_is_held_out():
    cases = [ball_case(seed) for seed in range(8)]
    data = divide(cases, 0.25, 0)
    assert len(data.validation) == 2 and len(data.training) == 6
    assert not {c.name for c in data.training} & {c.name for c in data.validation}
    assert list(data.test) == list(data.validation)
    assert "too kind" in data.warning


def test_of_one_patient_a_share_of_the_objects_is_held_out():
    data = divide([three_objects()], 0.3, 0)
    ((training,), (validation,)) = data.training, data.validation
    assert len(training.objects) == 2 and len(validation.objects) == 1
    assert set(training.objects) | set(validation.objects) == {1, 2, 3}
    assert "one patient" in data.warning


def test_of_one_patient_who_is_segmented_further_the_held_out_objects_stay_so():
    def held(count):
        labels = np.zeros((6, 6, 6 * count), np.uint8)
        for label in range(1, count + 1):
            labels[1:5, 1:5, 6 * label - 5 : 6 * label - 1] = label
        case = Case.from_arrays("mr_many", labels * 9, labels, (1, 1, 1))
        (validation,) = divide([case], 0.3, 0).validation
        return set(validation.objects)

    assert all(len(held(n + 1) - held(n) - {n + 1}) <= 1 for n in range(4, 20))


def test_of_one_object_nothing_is_held_out_and_that_is_said():
    data = divide([ball_case(0)], 0.25, 0)
    assert not data.validation and not data.test and len(data.training) == 1
    assert "nothing is held out" in data.warning


def test_cases_for_the_test_alone_make_the_judgement_fair():
    judges = [ball_case(9)]
    assert held_out([ball_case(0)], [ball_case(1)], judges).warning == ""
    assert divide([ball_case(0)], 0.25, 0, judges).test == judges


def test_a_patient_on_both_sides_is_warned_of_and_not_named():
    one, two, other, same = (three_objects(name) for name in ("ct_sts001", "mr_sts001", "ct_2", "pet_sts001"))
    twice = "1 held-out cases are of patients who are trained on as well"
    for data in (
        held_out([one, other], [two]),
        held_out([one], [other], [two]),
        held_out([one], [two], [other]),
        divide([one, same], 0.25, 0, [two]),
        divide([ball_case(0)], 0.25, 0, [ball_case(0)]),
    ):
        assert data.warning.count(twice) == 1 and "sts001" not in data.warning
    assert twice not in divide([one, two], 0.25, 0).warning  # which says that there is no other patient
    assert held_out([ball_case(0)], [one], [two]).warning.endswith("a little too kind.")


@pytest.mark.parametrize("share", [0, 1, -0.5])
def test_a_share_must_leave_something_on_either_side(share):
    with pytest.raises(InputError, match="between 0 and 1"):
        divide([ball_case(0), ball_case(1)], share, 0)


def test_holding_out_everything_is_refused():
    with pytest.raises(InputError, match="hold fewer out"):
        held_out([], [ball_case(0)])


# What becomes of it


def run(base, output, data=None, steps=8, said=None, reporter=None, **changes):
    checkpoint = load_checkpoint(base)
    config = default_config(checkpoint, Limit(steps, "steps"), budget=(16**3, 16**3), **changes)
    data = data or held_out([ball_case(0)], [ball_case(1)], [ball_case(2), ball_case(3)])
    say = (lambda text: None) if said is None else said.append
    options, device = RunOptions(workers=0), torch.device("cpu")
    return finetune(checkpoint, base, data, config, output, CARD, options, device, reporter, say)


def test_a_better_network_is_written_with_its_proof(base, tmp_path):
    said = []
    rates = {"muon_lr": 0.02, "rest_lr": 1e-2, "warmup_steps": 1, "ema": 0.5}
    outcome = run(base, tmp_path / "new.safetensors", said=said, steps=16, **rates)
    assert outcome.written and outcome.gain > 0.02
    card = load_checkpoint(tmp_path / "new.safetensors").card
    assert card["name"] == "ours" and card["licence"] == "CC0"
    assert card["base"]["name"] == "base" and card["base"]["licence"] == "CC-BY"
    assert card["base"]["digest"] == load_checkpoint(base).digest
    assert card["fine_tuning"]["cases"] == 1  # a name might be a patient's
    assert [entry["dataset"] for entry in card["training_data"]] == ["x", "mr_ball"]
    assert np.mean(card["metrics"]["dice_after"]) > np.mean(card["metrics"]["dice_before"])
    assert card["metrics"]["judged_on_cases"] == 2
    rows = list(csv.DictReader((tmp_path / "new.before-after.csv").open()))
    assert [row["case"] for row in rows] == ["mr_ball_002", "mr_ball_003", "mean"]
    means = [np.mean([float(r[f"{side}_click_5"]) for r in rows[:2]]) for side in ("before", "after")]
    assert means == pytest.approx([float(rows[2][f"{s}_click_5"]) for s in ("before", "after")], abs=1e-3)
    assert any("mean of all objects" in text for text in said)
    assert {p.name for p in tmp_path.iterdir()} == {"new.safetensors", "new.json", "new.before-after.csv"}


def scores(*values):
    return [ObjectScore(f"case {i}", 1, (value, value)) for i, value in enumerate(values)]


def test_a_network_that_is_not_better_on_the_judges_is_not_written(base, tmp_path, monkeypatch):
    before = base.read_bytes()
    # Of the judges before, of the validation before, of the judges after.
    answers = iter([scores(0.5, 0.7), scores(0.0), scores(0.6, 0.6)])
    monkeypatch.setattr(judging, "score_objects", lambda *arguments, **more: next(answers))
    outcome = run(base, tmp_path / "new.safetensors", steps=1)
    assert not outcome.written and outcome.gain == pytest.approx(0)
    assert [p.name for p in tmp_path.iterdir()] == ["new.before-after.csv"]
    assert base.read_bytes() == before


def test_without_a_better_validation_the_base_itself_is_judged_and_nothing_written(
    base, tmp_path, monkeypatch
):
    monkeypatch.setattr(training_module, "score_objects", lambda *arguments: scores(0.0))
    outcome = run(base, tmp_path / "new.safetensors", steps=1)
    assert not outcome.written and outcome.gain == 0
    assert all(c.before == c.after for c in outcome.comparisons)


def sheet_case(*labels):
    """A sheet (1) that windows of 16^3 voxels are too coarse for, and a cube (2)."""
    array = np.zeros((40, 40, 40), np.uint8)
    array[18, 2:-2, 2:-2] = 1
    array[3:9, 4:10, 4:10] = 2
    array[~np.isin(array, labels)] = 0
    return Case.from_arrays("mr_sheet_001", array * 60, array, (1, 1, 1))


@pytest.fixture(scope="module")
def base_of_larger_windows(tmp_path_factory):
    path = tmp_path_factory.mktemp("larger") / "base.safetensors"
    save_checkpoint(path, tiny_network(0), 24**3, {"name": "base"})
    return path


def test_in_other_windows_than_the_bases_both_are_judged_on_the_same_objects(
    base_of_larger_windows, tmp_path, monkeypatch
):
    monkeypatch.setattr(training_module, "score_objects", lambda *arguments: scores(1.0))
    data = held_out([ball_case(0)], [sheet_case(1, 2)])
    said = []
    more = {"said": said, "steps": 1, "validation_budget": 16**3}
    outcome = run(base_of_larger_windows, tmp_path / "new.safetensors", data, **more)
    assert [c.label for c in outcome.comparisons] == [2]
    assert outcome.warning in said[0] and "16^3 voxels; in its own of 24^3" in outcome.warning


def test_objects_that_the_windows_are_too_coarse_for_are_refused_before_the_training(
    base_of_larger_windows, tmp_path, monkeypatch
):
    monkeypatch.setattr(finetuning, "train", lambda *arguments: pytest.fail("it trained"))
    data = held_out([ball_case(0)], [sheet_case(1)])
    with pytest.raises(InputError, match=r"too thin for windows of 16\^3 voxels: use larger windows"):
        run(base_of_larger_windows, tmp_path / "new.safetensors", data, validation_budget=16**3)


def test_all_steps_are_made_although_validation_does_not_get_better(base, tmp_path, monkeypatch):
    """The rates fall to the end, and only then the weights settle."""
    asked = []
    monkeypatch.setattr(training_module, "score_objects", lambda *arguments: asked.append(1) or scores(0.0))
    outcome = run(base, tmp_path / "new.safetensors", steps=8, validate_every=1)
    assert outcome.steps == len(asked) == 8


def test_what_is_judged_and_written_lies_halfway_between_the_base_and_the_trained(
    base, tmp_path, monkeypatch
):
    trained, judged = [], []
    averaged = Trainer.averaged

    def kept(trainer):
        trained.append(averaged(trainer))
        return averaged(trainer)

    def judge(network, *arguments):
        judged.append(network)
        return scores(1.0)

    monkeypatch.setattr(Trainer, "averaged", kept)
    monkeypatch.setattr(training_module, "score_objects", judge)
    run(base, tmp_path / "new.safetensors", divide([ball_case(0)], 0.25, 0), steps=1)
    run(base, tmp_path / "other.safetensors", steps=1, muon_lr=0.1, rest_lr=0.1, warmup_steps=1)
    for new, whole in zip(("new", "other"), trained, strict=True):
        written, old = (load_checkpoint(path).state for path in (tmp_path / f"{new}.safetensors", base))
        for name in ("mask_decoder.levels.0.conv_out.weight", "mask_decoder.head.bias"):
            middle = (old[name] + whole.state_dict()[name]) / 2
            assert not torch.equal(middle, old[name])
            assert torch.allclose(written[name], middle, rtol=2e-3, atol=1e-4)
    assert torch.equal(judged[0].state_dict()[name], (old[name] + whole.state_dict()[name]) / 2)


def test_with_nothing_held_out_the_result_is_written_with_a_warning_on_its_card(base, tmp_path):
    data = divide([ball_case(0)], 0.25, 0)
    outcome = run(base, tmp_path / "new.safetensors", data, steps=1)
    assert outcome.written and not outcome.comparisons
    assert "nothing is held out" in load_checkpoint(tmp_path / "new.safetensors").card["metrics"]["note"]


# Stopped early


@pytest.fixture
def stop_in_step_3(monkeypatch):
    step = Trainer.step

    def asked(self, samples):
        if self.step_count == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, samples)

    monkeypatch.setattr(Trainer, "step", asked)


def test_stopped_before_the_first_validation_the_trained_weights_are_written_and_not_the_base(
    base, tmp_path, stop_in_step_3
):
    output = tmp_path / "new.safetensors"
    outcome = run(base, output, divide([ball_case(0)], 0.25, 0), steps=100)
    assert outcome.stopped and outcome.written and outcome.steps == 3
    old, new = load_checkpoint(base).state, load_checkpoint(output).state
    assert any(not torch.equal(old[name], new[name]) for name in old)


@pytest.mark.parametrize("held", [0, 1])
def test_stopped_before_the_first_step_nothing_is_judged_or_written(
    base, tmp_path, monkeypatch, capsys, held
):
    monkeypatch.setattr(training_module.StopRequest, "made", True)
    data = held_out([ball_case(0)], [ball_case(1)]) if held else divide([ball_case(0)], 0.25, 0)
    outcome = run(base, tmp_path / "new.safetensors", data)
    assert not outcome.written and outcome.comparisons == ()
    assert not any(tmp_path.iterdir())
    monkeypatch.setattr(finetuning_commands, "_data", lambda *arguments: data)
    assert main(["finetune", str(base), str(tmp_path), "-o", str(tmp_path / "new.safetensors")]) == 3
    assert "Nothing was learned" in capsys.readouterr().out


@pytest.mark.parametrize("held", [0, 1])
def test_trained_weights_that_find_no_room_are_an_error_and_written_once_there_is_some(
    base, tmp_path, monkeypatch, held
):
    save = training_module.try_to_save
    data = held_out([ball_case(0)], [ball_case(1)]) if held else divide([ball_case(0)], 0.25, 0)
    monkeypatch.setattr(training_module, "score_objects", lambda *arguments: scores(1.0))
    reporter = Reporter(tmp_path / "state")
    with monkeypatch.context() as patch:
        patch.setattr(
            training_module,
            "try_to_save",
            lambda v, path: "No room." if path.name == "best.pt" else save(v, path),
        )
        with pytest.raises(OutputError, match="make room on the disk"):
            run(base, tmp_path / "new.safetensors", data, reporter=reporter)
    run(base, tmp_path / "new.safetensors", data, reporter=reporter)
    assert (tmp_path / "new.safetensors").is_file()


@pytest.mark.parametrize("is_kept", [True, False])
def test_only_a_training_whose_state_is_kept_is_said_to_go_on(base, tmp_path, stop_in_step_3, is_kept):
    said = []
    reporter = Reporter(tmp_path / "state") if is_kept else None
    run(base, tmp_path / "new.safetensors", said=said, steps=100, reporter=reporter)
    end = ": the same command goes on from there." if is_kept else "."
    assert [text for text in said if "Stopped" in text] == [f"Stopped after step 3{end}"]


def test_what_is_trained_is_judged_and_written_whatever_signal_comes_meanwhile(base, tmp_path, monkeypatch):
    judge, judged = finetuning.scores, []

    def interrupted(*arguments):
        judged.append(arguments)
        if len(judged) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return judge(*arguments)

    monkeypatch.setattr(finetuning, "scores", interrupted)
    earlier = signal.signal(signal.SIGTERM, lambda *received: pytest.fail("it was ended"))
    try:
        outcome = run(base, tmp_path / "new.safetensors", divide([ball_case(0)], 0.25, 0), steps=1)
    finally:
        signal.signal(signal.SIGTERM, earlier)
    assert len(judged) == 2 and outcome.written and not outcome.stopped
    assert {path.name for path in tmp_path.iterdir()} == {"new.safetensors", "new.json"}


def test_the_table_gives_each_case_and_the_mean():
    text = table(
        [
            Comparison("one", 1, (0.2, 0.4), (0.4, 0.6)),
            Comparison("one", 2, (0.4, 0.6), (0.6, 0.8)),
            Comparison("two", 1, (0.0, 0.2), (0.2, 0.4)),
        ]
    )
    head, one, two, mean = text.splitlines()
    assert one.split() == ["one", "2", "0.300", ">", "0.500", "0.500", ">", "0.700"]
    assert two.startswith("two") and mean.split()[-3:] == ["0.400", ">", "0.600"]
    assert "last click" in head


# On the command line


@pytest.mark.parametrize(("written", "code"), [(True, 0), (False, 3)])
def test_the_exit_code_tells_whether_there_is_a_better_checkpoint(
    base, tmp_path, monkeypatch, capsys, written, code
):
    outcome = Outcome((Comparison("a", 1, (0.5,), (0.6 if written else 0.4,)),), 9, 1.5, written)
    monkeypatch.setattr(finetuning, "finetune", lambda *arguments, **more: outcome)
    monkeypatch.setattr(finetuning_commands, "_data", lambda *arguments: held_out([ball_case(0)], []))
    arguments = ["finetune", str(base), str(tmp_path), "-o", str(tmp_path / "new.safetensors")]
    assert main(arguments) == code
    said = capsys.readouterr()
    assert ("nothing is written" in said.out) != written
    assert "--licence" in said.err


def test_a_result_that_is_no_safetensors_is_refused(base, tmp_path, capsys):
    assert main(["finetune", str(base), str(tmp_path), "-o", str(tmp_path / "new.pt")]) == 2
    assert ".safetensors" in capsys.readouterr().err
