"""A fine-tuning as a command line, and as a folder that runs the same on another machine."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath

import ensam
from ensam.errors import InputError
from ensam.files import not_written, write_text

import ensam_training
from ensam_training.collection import FACTS, read_facts, write_facts

ARGUMENTS, CASES, BASE, RESULT = "arguments.txt", "cases", "base.safetensors", "result"
_PACKAGES = "torch numpy SimpleITK safetensors scipy tqdm monai connected-components-3d edt matplotlib"
_README = """ENSAM training recipe

What is here: the cases (images, labels, prompts: patients' data, treat them as such), the checkpoint to start
from, the program, and arguments.txt, which says how to train. It needs Python 3.11 or newer and

    pip install {packages}

Run it in this folder, with or without a graphics card; after an interruption the same command goes on:

    python -X utf8 -m ensam_training "@arguments.txt"

Bring {result}/ back and choose {result}/{name}.safetensors under "Import result" of ENSAM Trainer.
There is no such file if the result is not better than what it started from.
"""


@dataclass(frozen=True)
class Recipe:
    """All that a fine-tuning is made of.

    base: the checkpoint's path, or "starter". cases: a folder of cases. state: the run's folder, where
    NAME.safetensors will be. amount and unit ("minutes" or "epochs"): how long. edge: of the largest window
    in voxels, 0 the base's own. held_out: share of the patients that judge. licence: of the result, "" if it
    isn't stated.
    """

    base: str
    cases: Path
    state: Path
    cache: Path
    name: str
    amount: float = 10.0
    unit: str = "minutes"
    edge: int = 0
    device: str = "auto"
    held_out: float = 0.25
    licence: str = ""

    @property
    def output(self) -> Path:
        return self.state / f"{self.name}.safetensors"

    def finetuning(self) -> list[str]:
        """The command line of the training itself."""
        more = ["--licence", self.licence] if self.licence else []
        output = ["-o", self.output.as_posix(), "--state", self.state.as_posix(), "--name", self.name]
        return ["finetune", *self._common(), *output, *more]

    def estimating(self, output: Path) -> list[str]:
        """The command line that measures what the training would take."""
        return ["estimate", *self._common(), "-o", str(output)]

    def exporting(self, base: Path, folder: Path) -> list[str]:
        """The command line that calls `write_recipe`."""
        more = ["--licence", self.licence] if self.licence else []
        return ["recipe", str(base), *self._choice(), "-o", str(folder), "--name", self.name, *more]

    def _common(self) -> list[str]:
        where = ["--cache", self.cache.as_posix(), "--device", self.device]
        return [self.base, *self._choice(), *where]

    def _choice(self) -> list[str]:
        return [
            self.cases.as_posix(),
            f"--{self.unit}",
            f"{self.amount:g}",
            *(["--edge", str(self.edge)] if self.edge else []),
            "--validation-share",
            f"{self.held_out:g}",
        ]


def unfinished(folder: Path) -> Path:
    """What a `write_recipe` that was killed leaves; the next one removes it."""
    return folder.with_name(f".{folder.name}.part")


def write_recipe(recipe: Recipe, base: Path, folder: Path) -> None:
    """Makes `folder` hold all that the training needs elsewhere, whole or not at all.

    base: the checkpoint's file. folder: a new or an empty one. A table beside the cases goes with them, since
    it may tell their patients. Raises InputError for any other folder, for cases in a table and where the
    checkpoint or the cases are missing, OutputError.
    """
    if not base.is_file():
        raise InputError(f"There is no checkpoint '{base}': check the path.")
    if recipe.cases.is_file():
        raise InputError(
            f"'{recipe.cases}' is no folder: ensam-train collect makes one of the cases in a table, which a "
            "recipe takes."
        )
    if not recipe.cases.is_dir():
        raise InputError(f"There is no folder of cases '{recipe.cases}': check the path.")
    is_empty = folder.is_dir() and not any(folder.iterdir())
    if not folder.name or (folder.exists() and not is_empty):
        raise InputError(f"'{folder}' is there already: choose a new or an empty folder.")
    beside = unfinished(folder)
    shutil.rmtree(beside, ignore_errors=True)
    moved = replace(
        recipe, base=BASE, cases=Path(CASES), state=Path(RESULT), cache=Path("cache"), device="auto"
    )
    try:
        beside.mkdir(parents=True)
        shutil.copytree(recipe.cases, beside / CASES, ignore=shutil.ignore_patterns(".*"))
        for facts in (beside / CASES).glob(f"*/{FACTS}"):
            _tell_no_place(facts)
        cases = recipe.cases.resolve()
        table = cases.with_name(f"{cases.name}.csv")
        if table.is_file():
            shutil.copyfile(table, beside / f"{CASES}.csv")
        shutil.copyfile(base, beside / BASE)
        for module in (ensam, ensam_training):
            source = Path(module.__file__).parent
            shutil.copytree(source, beside / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        (beside / ARGUMENTS).write_text("\n".join(moved.finetuning()) + "\n", encoding="utf-8")
        text = _README.format(packages=_PACKAGES, result=RESULT, name=recipe.name)
        (beside / "README.txt").write_text(text, encoding="utf-8")
        if is_empty:
            folder.rmdir()
        beside.rename(folder)
    except (OSError, shutil.Error) as error:
        raise not_written(folder, getattr(error, "strerror", None)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _tell_no_place(path: Path) -> None:
    """Of the folder that a case was collected from its copy tells the name alone. The whole path is what this
    computer knows the folder by, and may tell who works here and on whom."""
    try:
        facts = read_facts(path)
    except InputError:
        return  # another program's, or damaged, which the training says
    # It knows both kinds of slashes: a collection may have been made on another system.
    write_facts(path, replace(facts, source=PureWindowsPath(facts.source).name))


def save_arguments(path: Path, arguments: list[str]) -> None:
    """Keeps a command line, so that it can be run again. Raises OutputError."""
    write_text(path, json.dumps(arguments))


def read_arguments(path: Path) -> list[str]:
    """The command line that was kept. Raises InputError when there is none."""
    try:
        arguments = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' doesn't tell how to go on: start the training again.") from error
    if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments):
        raise InputError(f"'{path}' doesn't tell how to go on: start the training again.")
    return arguments
