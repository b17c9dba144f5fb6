"""A run's tables of losses and scores are gone on with, whatever an interruption left of them."""

import pytest
from ensam_training import curves
from ensam_training.curves import RunLog, read_rows, smoothed


@pytest.mark.parametrize(
    "left",
    [
        "",
        "step,minu",
        "{header}\n",
        "{header}\n2,0.1,0.1,0.9,0.8,1\n3,0.1",
        "{header}\n2,0.1,0.1,0.9,0.8,1\n,",
    ],
    ids=["nothing", "a part of the header", "no row", "a part of a row", "less than a number"],
)
def test_a_log_that_was_cut_off_is_gone_on_with(tmp_path, left):
    (tmp_path / "log.csv").write_text(left.format(header=",".join(curves.LOG)))
    before = read_rows(tmp_path / "log.csv")
    assert [row["step"] for row in before] == [2] * ("0.8" in left)
    RunLog(tmp_path, 2).losses([4, 0.2, 0.2, 0.7, 0.6, 1])
    assert [row["step"] for row in read_rows(tmp_path / "log.csv")] == [row["step"] for row in before] + [4]


def test_a_row_that_another_was_written_into_is_no_row(tmp_path):
    (tmp_path / "log.csv").write_text("step,loss\n1,0.5\n2,0.4,3,0.3\n4\n5,0.x\n6,0.1\n")
    assert read_rows(tmp_path / "log.csv") == [{"step": 1, "loss": 0.5}, {"step": 6, "loss": 0.1}]


def test_a_running_mean_is_shorter_at_the_beginning():
    assert smoothed([2, 4, 6, 8], 2).tolist() == [2, 3, 5, 7]
