"""What the command lines of ENSAM and of its training share: arguments, errors and exit codes.

Exit codes: 0 done, 2 the input is wrong (one line on standard error says what to do), 1 anything else.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from ensam import __version__
from ensam.errors import InputError


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line, like every other error."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        # argparse takes -1e-05 and -15. for flags otherwise.
        self._negative_number_matcher = re.compile(r"^-(\d|\.\d)")

    def add_version(self) -> None:
        """Adds --version."""
        self.add_argument("--version", action="version", version=f"{self.prog} {__version__}")

    def error(self, message: str) -> None:
        raise InputError(f"{message[:1].upper()}{message[1:]} (see {self.prog} --help).")


def seed(text: str) -> int:
    """The type of an argument that random numbers start from: 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative, use 0 or more")
    return value


def answer(command: Callable[[], int]) -> int:
    """Runs a command and gives its exit code; an error is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a segment's name must not fail on an old terminal
            stream.reconfigure(errors="backslashreplace")
    try:
        return command()
    except InputError as error:
        print(" ".join(str(error).split()), file=sys.stderr)  # a file's name may hold line breaks
        return 2
    except BrokenPipeError:  # as in `ensam info | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 1
