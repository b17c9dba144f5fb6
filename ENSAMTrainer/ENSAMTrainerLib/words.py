"""How the trainer says what goes on and what came of it."""

from __future__ import annotations

from typing import Any

from ensam_training.run_folder import Outcome, Progress
from ENSAMSegmentLib.status import Status
from ENSAMSegmentLib.translation import tr as _

from .values import TrainingChoice


def working(progress: Progress | None, stopping: bool) -> Status:
    """What a training is at."""
    if stopping and (progress is None or progress.phase in ("prepare", "before")):
        return Status("working", _("Stopping..."))
    if stopping:
        return Status("working", _("Stopping after this step, then judging what is best so far..."))
    if progress is None or progress.phase == "prepare":
        return Status("working", _("Preparing the cases..."))
    if progress.phase == "before":
        return Status("working", _("Looking how good the base is on the held-out cases..."))
    if progress.phase == "after":
        return Status("working", _("Looking how good the result is on the held-out cases..."), "", 1.0)
    if progress.is_over:  # its process is about to end, or a resumed one about to begin
        return Status("working", _("A moment..."))
    dice = "" if progress.dice is None else _("held-out Dice {dice}").format(dice=f"{progress.dice:.3f}")
    parts = [_("step {step}").format(step=progress.step), dice]
    detail = ", ".join(part for part in parts if part)
    left = _time_left(progress.seconds_left)
    return Status("working", _("Training, {left}.").format(left=left), detail, progress.share)


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return _("how long is not known yet")
    if seconds < 90:
        return _("{seconds} s left").format(seconds=f"{seconds:.0f}")
    if seconds < 5400:
        return _("{minutes} min left").format(minutes=f"{seconds / 60:.0f}")
    return _("{hours} h left").format(hours=f"{seconds / 3600:.1f}")


def verdict(outcome: Outcome) -> str:
    """Whether a training made the weights better."""
    if not outcome.comparisons and not outcome.written:
        return _("Stopped before it had learned anything: there is nothing to judge.")
    if not outcome.comparisons:
        return _("Nothing was held out: whether it is better is not known.")
    if outcome.written:
        text = _("Better: the mean Dice of {count} held-out objects rose by {gain}.")
    else:
        text = _("Not better: the mean Dice of {count} held-out objects changed by {gain}. The base stays.")
    return text.format(count=len(outcome.comparisons), gain=f"{outcome.gain:+.3f}")


def estimate_text(values: dict[str, Any], choice: TrainingChoice) -> str:
    """What an estimate of `ensam_training.estimating` means for a choice."""
    step_s, minutes = values["step_s"], choice.amount
    if choice.unit == "epochs":
        minutes = choice.amount * values["objects"] * step_s / 60
    text = _("About {steps} steps of {step} s in {minutes} minutes, and {judging} s to judge.").format(
        steps=f"{60 * minutes / step_s:.0f}",
        step=f"{step_s:.2g}",
        minutes=f"{minutes:.2g}",
        judging=f"{values['judging_s']:.0f}",
    )
    if values["peak_bytes"] is None:
        return text
    memory = _("{memory} GB of memory.").format(memory=f"{values['peak_bytes'] / 2**30:.1f}")
    return f"{text} {memory}"


def task_texts() -> dict[str, str]:
    """What the processes beside the training do, by name."""
    return {
        "collect": _("Copying cases..."),
        "check": _("Checking the cases..."),
        "estimate": _("Measuring a few steps..."),
        "export": _("Copying all that the training needs..."),
    }
