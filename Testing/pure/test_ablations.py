"""Ablations change one switch at a time, at equal cost, and can be interrupted."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from ensam.errors import InputError
from ensam.network import NetworkConfig
from ensam_training import ablations, training_commands
from ensam_training import training as training_module
from ensam_training.__main__ import main
from ensam_training.ablations import BASE, RATES, VARIANTS, Result, Variant, ablate, chosen, table
from ensam_training.configuration import Limit, TrainingConfig

from .tiny_network import TINY, BallWindows, ball_case

CONFIG = TrainingConfig(
    limit=Limit(2, "steps"), budget=(16**3, 16**3), validation_budget=16**3, validate_every=1
)


class BallData:
    """Stands in for TrainingData."""

    def cases(self):
        return [], [ball_case(0)]


@pytest.fixture(autouse=True)
def a_tiny_base(monkeypatch):
    monkeypatch.setattr(ablations, "BASE", NetworkConfig.paper(**TINY))
    monkeypatch.setattr(training_module, "WindowSampler", BallWindows)
    monkeypatch.setattr(training_module, "default_workers", lambda: 0)


def test_the_papers_three_and_the_ones_it_left_out_are_there():
    configs = {v.name: replace(BASE, **v.network) for v in VARIANTS}
    optimisers = {v.name: v.training.get("optimiser", "muon") for v in VARIANTS}
    kinds = {(configs[name].position, optimisers[name]) for name in configs}
    assert {("absolute", "adam"), ("liere", "adam"), ("liere", "muon")} <= kinds
    assert {c.attention for c in configs.values()} == {"normalised", "standard"}
    assert {c.dense_prompts for c in configs.values()} == {True, False}
    assert {c.position_unit for c in configs.values()} == {"window", "mm"}


def test_each_variant_differs_by_one_switch_from_the_base_or_from_its_neighbour():
    by_name = {v.name: {**v.network, **v.training} for v in VARIANTS}
    assert by_name.pop("base") == {}
    with_adam = by_name.pop("absolute-adam")
    assert len(with_adam.items() - by_name["liere-adam"].items()) == 1
    assert all(len(switches) == 1 for switches in by_name.values())


def test_learning_rates_are_tried_for_both_optimisers():
    assert {v.training["optimiser"] for v in RATES} == {"adam", "muon"}
    assert len({v.name for v in RATES}) == len(RATES) == 6


def test_variants_are_chosen_by_name():
    assert [v.name for v in chosen("ablations", ["dense-prompts", "base"])] == ["base", "dense-prompts"]
    assert chosen("ablations", None) == list(VARIANTS)
    with pytest.raises(InputError, match=r"no variant 'dense': choose from base"):
        chosen("ablations", ["dense"])


def run(folder, variants):
    return ablate(variants, CONFIG, BallData(), folder, say=lambda text: None, pool=ThreadPoolExecutor(1))


def test_every_variant_is_trained_and_lands_in_table_and_plot(tmp_path):
    variants = [Variant("base", "the base"), Variant("mm", "positions in mm", {"position_unit": "mm"})]
    results = run(tmp_path, variants)
    assert [(r.variant, r.steps) for r in results] == [("base", 2), ("mm", 2)]
    lines = (tmp_path / "ablations.csv").read_text().splitlines()
    assert len(lines) == 3 and lines[1].startswith("base,the base,2,")
    assert "| positions in mm | 2 |" in (tmp_path / "ablations.md").read_text()
    assert (tmp_path / "ablations.png").stat().st_size > 5000
    assert (tmp_path / "mm" / "state.pt").is_file()


def test_a_variant_that_is_done_is_not_run_again(tmp_path, monkeypatch):
    done = Result("base", "the base", 9, 20.0, 0.5, 0.4, (0.1, 0.2))
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "result.json").write_text(json.dumps(done.__dict__))
    monkeypatch.setattr(ablations, "train", lambda *arguments, **more: pytest.fail("it trained"))
    assert run(tmp_path, [Variant("base", "the base")]) == [done]


# Stopping


def stopping_at(monkeypatch, step):
    """Every training is stopped after that step, as if by the user."""
    train = training_module.train

    def stopped(*arguments, options, **more):
        return train(*arguments, options=replace(options, stop_at=step), **more)

    monkeypatch.setattr(ablations, "train", stopped)


@pytest.mark.parametrize("step", [0, 1])
def test_a_variant_that_was_stopped_is_not_done_and_goes_on_later(tmp_path, step):
    variants = [Variant("base", "the base"), Variant("mm", "positions in mm", {"position_unit": "mm"})]
    with pytest.MonkeyPatch.context() as patch:
        stopping_at(patch, step)
        assert run(tmp_path, variants) == []
    assert {path.name for path in tmp_path.iterdir()} == {"base"}  # the second was not begun
    assert [(r.variant, r.steps) for r in run(tmp_path, variants)] == [("base", 2), ("mm", 2)]


ENDLESS = """if True:
    import sys
    from pathlib import Path
    from dataclasses import replace
    from ensam_training.ablations import Variant, ablate
    from ensam_training.configuration import Limit
    from pure.test_ablations import CONFIG, TINY, BallData
    variants = [Variant(name, name, TINY) for name in ("first", "second")]
    limit = Limit(10**6, "steps")
    config = replace(CONFIG, limit=limit, budget=(24**3, 24**3), validate_every=10**6)
    ablate(variants, config, BallData(), Path(sys.argv[1]), threads=1, workers=0)
"""


@pytest.fixture
def an_endless_ablation(tmp_path):
    """A process whose first variant is being trained, in a process of its own."""
    command = [sys.executable, "-c", ENDLESS, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout.readline().startswith("step 10")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no groups of processes to send a signal to")
def test_ctrl_c_saves_the_variant_that_is_being_trained_and_begins_no_other(an_endless_ablation, tmp_path):
    os.killpg(an_endless_ablation.pid, signal.SIGINT)
    said, _ = an_endless_ablation.communicate(timeout=60)
    assert "the same command goes on from there" in said
    assert {path.name for path in tmp_path.iterdir()} == {"first"}
    files = {path.name for path in (tmp_path / "first").iterdir()}
    assert "state.pt" in files and "result.json" not in files


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no groups of processes")
def test_a_variant_ends_with_its_killed_parent(an_endless_ablation):
    an_endless_ablation.kill()
    # The output ends when the last process that could write to it does.
    an_endless_ablation.communicate(timeout=60)


# What it is given


def test_without_held_out_cases_nothing_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(ablations, "train", lambda *arguments, **more: pytest.fail("it trained"))
    data = BallData()
    data.cases = lambda: ([ball_case(0)], [])
    with pytest.raises(InputError, match="held-out cases"):
        ablate([Variant("base", "the base")], CONFIG, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_line_asks_who_is_held_out(tmp_path, capsys):
    assert main(["ablate", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "--validation --validation-share is required" in capsys.readouterr().err


def test_device_and_workers_reach_the_training(tmp_path, monkeypatch):
    asked, train = [], training_module.train
    monkeypatch.setattr(
        ablations, "train", lambda *arguments, **more: asked.append(more) or train(*arguments, **more)
    )
    pools = ThreadPoolExecutor(1)
    monkeypatch.setattr(ablations, "ProcessPoolExecutor", lambda *arguments, **more: pools)
    monkeypatch.setattr(ablations, "chosen", lambda *arguments: [Variant("base", "the base")])
    monkeypatch.setattr(training_commands, "_data", lambda options: BallData())
    monkeypatch.setattr("ensam.device.choose_device", lambda name: torch.device("cpu", 0))
    given = ["--steps", "1", "--budget", "16", "16", "--validation-share", "0.5", "--workers", "0"]
    assert main(["ablate", str(tmp_path), "-o", str(tmp_path / "out"), *given]) == 0
    (more,) = asked
    assert more["options"].workers == 0 and more["team"].device == torch.device("cpu", 0)


def test_the_table_reads_as_markdown():
    result = Result("base", "the base", 1234, 20.0, 0.5, 0.4, (0.1, 0.25))
    head, rule, row = table([result]).splitlines()
    assert head.endswith("| Dice after box | 1 |")
    assert rule.count("---") == head.count("|") - 1
    assert row == "| the base | 1,234 | 20 | 0.500 | 0.400 | 0.100 | 0.250 |"
