"""The training command line: python -m ensam_training, installed as ensam-train."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ensam.command_line import Parser, answer

from ensam_training import (
    data_commands,
    evaluation_commands,
    finetuning_commands,
    sampling_commands,
    training_commands,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives the exit code."""
    return answer(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = Parser(
        prog="ensam-train",
        description="Train ENSAM, and measure what it learned.",
        fromfile_prefix_chars="@",  # a recipe's arguments, one a line
    )
    parser.add_version()
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # Each group of commands has a file of its own, which imports what it needs when it runs.
    for group in (
        data_commands,
        sampling_commands,
        training_commands,
        finetuning_commands,
        evaluation_commands,
    ):
        group.add_commands(commands)
    options = parser.parse_args(arguments)
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
