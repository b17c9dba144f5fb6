"""The training command line: python -m ensam_training, installed as ensam-train."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ensam.errors import InputError

from ensam_training import (
    data_commands,
    evaluation_commands,
    finetuning_commands,
    sampling_commands,
    training_commands,
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ensam-train",
        description="Train ENSAM, and measure what it learned.",
        fromfile_prefix_chars="@",  # a recipe's arguments, one a line
    )
    commands = parser.add_subparsers(dest="command", required=True)
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
    try:
        return options.run(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
