"""The challenge's protocol: a box, then five rounds of one click an object where the last answer is worst.

    cases = [read_labelled_case(path) for path in sorted(folder.glob("*.npz"))]
    scores = play("ellipsoid", cases, one_by_one(ellipsoid_predictor))
    scores += play("ensam", cases, ensam_predictor(checkpoint))
    write_csv(folder / "evaluation.csv", scores)

Every method is asked for a whole round of cases at once, so that a command line starts once a round.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ensam.challenge import ChallengeCase, Clicks, write_case
from ensam.errors import ChallengeFileError, InputError
from ensam.npz import read_members
from numpy.typing import NDArray

from ensam_training.baselines import Predictor
from ensam_training.challenge_cases import LabelledCase
from ensam_training.interaction import Click, simulate_click
from ensam_training.metrics import dice, surface_dice

CLICK_ROUNDS = 5
TOLERANCE_MM = 2.0
_NSD_NEEDS_DSC = 0.2


@dataclass(frozen=True, eq=False)
class Answer:
    """A method's labels for one case, uint8 (z, y, x), and the seconds that it took."""

    labels: NDArray[np.uint8]
    seconds: float


RoundPredictor = Callable[[Sequence[ChallengeCase]], Sequence[Answer]]
"""From the cases of one round to their answers, in the same order."""


@dataclass(frozen=True)
class Score:
    """How one method did on one case after `round` clicks an object; `dsc` and `nsd` are means over them."""

    method: str
    case: str
    round: int
    dsc: float
    nsd: float
    seconds: float


def play(method: str, cases: Sequence[LabelledCase], predict: RoundPredictor) -> list[Score]:
    """Play the protocol with all cases side by side: a score a case and round, ordered by round.

    Each object gets one click a round, at the deepest voxel of the largest 26-connected error region of the
    method's own last answer; none where it has no error. Where several voxels are deepest, the challenge
    draws one and here it is the first. A case without boxes starts with the clicks and scores 0 before.
    Raises InputError when the method gives no valid answer.
    """
    scores = []
    states = [labelled.case for labelled in cases]
    for number in range(CLICK_ROUNDS + 1):
        if number > 0:
            states = [_clicked(state, of.truth) for state, of in zip(states, cases, strict=True)]
        asked = [state for state in states if number > 0 or state.boxes is not None]
        answers = iter(_checked(method, asked, predict(asked)) if asked else [])
        for index, (state, labelled) in enumerate(zip(states, cases, strict=True)):
            if number == 0 and state.boxes is None:
                scores.append(Score(method, state.name, number, 0.0, 0.0, 0.0))
                continue
            answer = next(answers)
            dsc, nsd = measure(labelled, answer.labels)
            scores.append(Score(method, state.name, number, dsc, nsd, answer.seconds))
            states[index] = replace(state, previous=answer.labels)
    return scores


def measure(labelled: LabelledCase, answer: NDArray[np.uint8]) -> tuple[float, float]:
    """The means over the objects of the Dice coefficient and of the surface Dice at 2 mm.

    As in the challenge, the surface Dice counts as 0 where the mean Dice coefficient isn't over 0.2.
    """
    pairs = [(labelled.truth == label, answer == label) for label in range(1, labelled.count + 1)]
    dsc = float(np.mean([dice(*pair) for pair in pairs]))
    if dsc <= _NSD_NEEDS_DSC:
        return dsc, 0.0
    spacing = labelled.spacing_zyx
    return dsc, float(np.mean([surface_dice(*pair, spacing, TOLERANCE_MM) for pair in pairs]))


def one_by_one(predict: Predictor) -> RoundPredictor:
    """A method that takes single cases, as one that takes a round of them."""

    def predict_round(cases: Sequence[ChallengeCase]) -> list[Answer]:
        answers = []
        for case in cases:
            started = time.perf_counter()
            labels = predict(case)
            answers.append(Answer(labels, time.perf_counter() - started))
        return answers

    return predict_round


def ensam_predictor(checkpoint: Path | None = None) -> RoundPredictor:
    """ENSAM by its command line, with the checkpoint that is installed with it or another."""
    chosen = [] if checkpoint is None else ["--checkpoint", str(checkpoint.resolve())]
    return command_predictor([sys.executable, "-m", "ensam", "predict-npz", *chosen])


def command_predictor(command: Sequence[str]) -> RoundPredictor:
    """A method that is a command with the challenge's contract: `--input FOLDER --output FOLDER`.

    It runs once a round, and each case's seconds are an equal share of that, the command's start included.
    """

    def predict_round(cases: Sequence[ChallengeCase]) -> list[Answer]:
        with tempfile.TemporaryDirectory() as folder:
            given, wanted = Path(folder, "input"), Path(folder, "output")
            given.mkdir()
            wanted.mkdir()
            for case in cases:
                path = given / f"{case.name}.npz"
                write_case(path, case.image, case.spacing, case.boxes, case.clicks, case.previous)
            seconds = _run([*command, "--input", str(given), "--output", str(wanted)]) / len(cases)
            return [Answer(_read_answer(wanted / f"{case.name}.npz"), seconds) for case in cases]

    return predict_round


def _clicked(case: ChallengeCase, truth: NDArray[np.uint8]) -> ChallengeCase:
    """The case with one click more on each object that its last answer has wrong."""
    previous = np.zeros_like(truth) if case.previous is None else case.previous
    clicks = case.clicks or ({"fg": (), "bg": ()},) * int(truth.max())
    added = tuple(
        _with_click(of_object, simulate_click(truth == label, previous == label))
        for label, of_object in enumerate(clicks, start=1)
    )
    return replace(case, clicks=added, previous=previous)


def _with_click(clicks: Clicks, click: Click | None) -> Clicks:
    if click is None:
        return clicks
    voxel, foreground = click
    key = "fg" if foreground else "bg"
    return {**clicks, key: (*clicks[key], voxel)}


def _checked(method: str, cases: Sequence[ChallengeCase], answers: Sequence[Answer]) -> Sequence[Answer]:
    for case, answer in zip(cases, answers, strict=True):
        if answer.labels.dtype != np.uint8 or answer.labels.shape != case.image.shape:
            raise InputError(
                f"'{method}' answers '{case.name}' with {answer.labels.dtype} labels of the shape "
                f"{answer.labels.shape}: it must be uint8 and {case.image.shape}."
            )
    return answers


def _run(command: Sequence[str]) -> float:
    """The seconds that a command takes. Raises InputError when it can't be run or fails."""
    started = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"'{command[0]}' can't be run ({error.strerror}): check the command.") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise InputError(f"'{' '.join(command)}' failed with {done.returncode}: {last}")
    return time.perf_counter() - started


def _read_answer(path: Path) -> NDArray:
    segs = read_members(path, ("segs",)).get("segs")
    if not isinstance(segs, np.ndarray):
        raise ChallengeFileError(f"The answer '{path.name}' has no labels 'segs': mend the command.")
    return segs
