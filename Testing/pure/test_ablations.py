"""Ablations change one switch at a time, at equal cost, and can be interrupted."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from ensam.errors import InputError
from ensam.network import NetworkConfig
from ensam_training import ablations
from ensam_training import training as training_module
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


def test_the_table_reads_as_markdown():
    result = Result("base", "the base", 1234, 20.0, 0.5, 0.4, (0.1, 0.25))
    head, rule, row = table([result]).splitlines()
    assert head.endswith("| Dice after box | 1 |")
    assert rule.count("---") == head.count("|") - 1
    assert row == "| the base | 1,234 | 20 | 0.500 | 0.400 | 0.100 | 0.250 |"
