"""A strict stand-in for the Python environment of Slicer's application, on PySide6.

Code written for Slicer (``import qt, ctk, vtk, slicer``) runs on it in pytest, on the real MRML of
``slicer-core``. It imitates PythonQt's rules (:mod:`.wrapping`, :mod:`.signals`), shows only names that the
real classes have (``names.json``, made by :mod:`.read_headers`), and keeps a list of what the real thing
would only print (:mod:`.mistakes`). :func:`.installation.installed` puts it in place.
"""
