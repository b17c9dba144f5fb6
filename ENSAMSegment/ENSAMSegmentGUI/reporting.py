"""How an error reaches the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
from ensam.errors import InputError
from slicer.i18n import tr as _


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show what goes wrong in the block.

    What the user can mend is one sentence and nothing else. Anything unforeseen comes with its details, and
    is raised again: so it is in the log, and fails a test.
    """
    with slicer.util.tryWithErrorDisplay(_("ENSAM could not do this.")):
        try:
            yield
        except InputError as error:
            slicer.util.errorDisplay(str(error))
