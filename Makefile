PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/ready
# The versions that the tests and figures of this repository were made with.
PACKAGES := torch==2.13.0 numpy==2.4.6 SimpleITK==2.5.7 safetensors==0.8.0 scipy==1.17.1 tqdm==4.70.1 \
	matplotlib==3.11.2 scikit-image==0.26.0 monai==1.6.1 connected-components-3d==4.1.1 edt==3.1.2 \
	lightning-fabric==2.6.6 slicer-core==5.12.4.0 pytest==9.2.0 hypothesis==6.170.15 ruff==0.17.6 \
	PySide6-Essentials==6.10.1 pytest-xdist==3.8.0

.PHONY: setup demo test lint bench

setup: $(STAMP)

$(STAMP): Makefile pyproject.toml
	@echo "Setting up .venv takes minutes: pip fetches PyTorch (3.2 GB on Linux, unless its CPU build is there) and others."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PACKAGES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: setup graphics
	$(BIN)/python Testing/demo.py

test: setup graphics lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: setup
	$(BIN)/ensam bench --edge 96

# Off-screen drawing needs Mesa's EGL, and Qt some libraries and a font. They are installed where that is
# possible; elsewhere the demo says so and the tests of the user interface are skipped.
.PHONY: graphics
graphics:
	@if [ "$$(ldconfig -p | grep -c -e libEGL_mesa.so.0 -e libxkbcommon.so.0 -e libfontconfig.so.1)" -lt 3 ] \
		&& [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends libegl1 libgl1 libgl1-mesa-dri \
		libxkbcommon0 libfontconfig1 libdbus-1-3 libglib2.0-0 fonts-dejavu-core; fi
