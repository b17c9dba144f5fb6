"""Segments the sample case in a real MRML scene; see mrml/demo.py."""

import sys

from mrml.demo import main

if __name__ == "__main__":
    sys.exit(main())
