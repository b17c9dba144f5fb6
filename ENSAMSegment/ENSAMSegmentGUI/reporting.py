"""How an error reaches the user.

Slicer writes the first text of a message box into its log, which people send when they ask for help. What
says what is wrong may name an image or a file, and so a patient: it is in the box below that text, and never
in the log.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import slicer
from ensam.errors import InputError
from slicer.i18n import tr as _


class UnforeseenError(Exception):
    """Stands in the log for an error that nobody foresaw: where it came from and its kind, not its words."""


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show what goes wrong in the block.

    What the user can mend is one sentence and nothing else. Anything unforeseen comes with its details, and
    is raised again as `UnforeseenError`: so it is in the log, and fails a test.
    """
    try:
        yield
    except InputError as error:
        _show(str(error))
    except Exception as error:
        if slicer.app.testingEnabled():
            raise
        _show(f"{type(error).__name__}: {error}", detailedText=traceback.format_exc())
        raise UnforeseenError(type(error).__name__).with_traceback(error.__traceback__) from None


def _show(sentence: str, **more: str) -> None:
    slicer.util.errorDisplay(_("ENSAM could not do this."), informativeText=sentence, **more)
