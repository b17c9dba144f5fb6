"""The texts that users read, in the language of the application.

Every file imports `tr` as ``_``: Slicer looks up each text under the name of the file that asks for it. What
varies goes in afterwards, as in ``_("There is no segment '{name}'.").format(name=name)``, and a text is
translated when it is used, since the language may not be known yet when the file is imported.
"""

from __future__ import annotations

__all__ = ["tr"]

try:
    from slicer.i18n import tr
except ImportError:

    def tr(text: str) -> str:
        """The text as it is: without the application there are no translations."""
        return text
