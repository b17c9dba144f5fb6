"""The challenge's protocol: a box, then five rounds of one click an object where the last answer is worst.

case = open_case(file)
scores = play("ellipsoid", case, ellipsoid_predictor)
scores += play("ensam", case, ensam_predictor(checkpoint))
"""

from __future__ import annotations

import subprocess
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from ensam.challenge import ChallengeCase, Clicks, write_case
from ensam.commands import answer_case
from ensam.errors import ChallengeFileError, InputError
from ensam.npz import read_members
from ensam.session import InteractiveSession
from numpy.typing import NDArray

from ensam_training.baselines import Predictor
from ensam_training.challenge_cases import LabelledCase
from ensam_training.interaction import Click, simulate_click
from ensam_training.metrics import dice, surface_dice

CLICK_ROUNDS = 5
TOLERANCE_MM = 2.0
_NSD_NEEDS_DSC = 0.2


@dataclass(frozen=True)
class Score:
    """How one method did on one case after `round` clicks an object; `dsc` and `nsd` are means over them.

    seconds: what this round's answer took.
    """

    method: str
    case: str
    modality: str
    dataset: str
    objects: int
    round: int
    dsc: float
    nsd: float
    seconds: float


def play(method: str, labelled: LabelledCase, predict: Predictor, seed: int | None = None) -> list[Score]:
    """Play the protocol: a score a round.

    Each object gets one click a round, on the largest 26-connected error region of the method's own last
    answer; none where it has no error. It lies at the region's deepest voxel. Where several are deepest, the
    challenge draws one and here it is the first. With a `seed` the clicks are a hand's: drawn from the voxels
    of at least half that depth, the same for all methods as long as their answers are. A case without boxes
    starts with the clicks and scores 0 before.
    Raises InputError when the method gives no valid answer.
    """
    scores = []
    state = labelled.case
    for number in range(CLICK_ROUNDS + 1):
        dsc = nsd = seconds = 0.0
        if number > 0:
            state = _clicked(state, labelled.truth, _generator(seed, state.name, number))
        if number > 0 or state.boxes is not None:
            started = time.perf_counter()
            answer = predict(state)
            seconds = time.perf_counter() - started
            _check(method, state, answer)
            if scores and np.array_equal(answer, state.previous):
                # Methods that ignore clicks needn't be measured six times.
                dsc, nsd = scores[-1].dsc, scores[-1].nsd
            else:
                dsc, nsd = measure(labelled, answer)
            state = replace(state, previous=answer)
        about = state.name, labelled.modality, labelled.dataset, labelled.count
        scores.append(Score(method, *about, number, dsc, nsd, seconds))
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


def ensam_predictor(checkpoint: Path | None) -> Predictor:
    """ENSAM with the checkpoint that is installed with it (None) or another, as `ensam predict-npz` answers.

    One session serves all rounds, so that the encoder runs again only where its window changed.
    """
    return partial(answer_case, InteractiveSession(checkpoint))


def command_predictor(command: Sequence[str]) -> Predictor:
    """A method that is a command with the challenge's contract: `--input FOLDER --output FOLDER`.

    It runs once for each answer, as in the challenge, and its start counts. Raises InputError when it can't
    be run, fails or leaves no answer.
    """

    def predict(case: ChallengeCase) -> NDArray[np.uint8]:
        with tempfile.TemporaryDirectory() as folder:
            given, wanted = Path(folder, "input"), Path(folder, "output")
            given.mkdir()
            wanted.mkdir()
            name = f"{case.name}.npz"
            write_case(given / name, case.image, case.spacing, case.boxes, case.clicks, case.previous)
            _run([*command, "--input", str(given), "--output", str(wanted)])
            return _read_answer(wanted / name)

    return predict


def _clicked(case: ChallengeCase, truth: NDArray[np.uint8], rng: np.random.Generator | None) -> ChallengeCase:
    """The case with one click more on each object that its last answer has wrong."""
    previous = np.zeros_like(truth) if case.previous is None else case.previous
    clicks = case.clicks or ({"fg": (), "bg": ()},) * int(truth.max())
    added = tuple(
        _with_click(of_object, simulate_click(truth == label, previous == label, rng))
        for label, of_object in enumerate(clicks, start=1)
    )
    return replace(case, clicks=added, previous=previous)


def _with_click(clicks: Clicks, click: Click | None) -> Clicks:
    if click is None:
        return clicks
    voxel, foreground = click
    key = "fg" if foreground else "bg"
    return {**clicks, key: (*clicks[key], voxel)}


def _generator(seed: int | None, name: str, number: int) -> np.random.Generator | None:
    return None if seed is None else np.random.default_rng((seed, zlib.crc32(name.encode()), number))


def _check(method: str, case: ChallengeCase, answer: NDArray) -> None:
    if answer.dtype != np.uint8 or answer.shape != case.image.shape:
        raise InputError(
            f"'{method}' answers '{case.name}' with {answer.dtype} labels of the shape {answer.shape}: "
            f"it must be uint8 and {case.image.shape}."
        )


def _run(command: Sequence[str]) -> None:
    """Run a command to its end. Raises InputError when it can't be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"'{command[0]}' can't be run ({error.strerror}): check the command.") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise InputError(f"'{' '.join(command)}' failed with {done.returncode}: {last}")


def _read_answer(path: Path) -> NDArray:
    segs = read_members(path, ("segs",)).get("segs")
    if not isinstance(segs, np.ndarray):
        raise ChallengeFileError(f"The answer '{path.name}' has no labels 'segs': mend the command.")
    return segs
