# make demo              a small sample catalog, extracted with the default bundle, as an HTML report
# make demo IMAGES=DIR   the same on your own photos
# make test              the tests; those of the editor need a Chromium and are skipped without one
# make test-browser      the editor's tests in a browser, with its speed; installs Chromium on Debian
# make lint              ruff check + ruff format --check
VENV := .venv
PYTHON ?= python3
SEGATTR := $(VENV)/bin/segattr
# Two torch threads that spin on busy cores take four times as long as one: let them sleep.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test test-browser lint clean
.DELETE_ON_ERROR:

# One stamp per flavour; a changed pyproject.toml installs again, anything else re-uses .venv.
$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.made
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[serve]'
	touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.made
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
ifdef IMAGES
	$(SEGATTR) extract '$(IMAGES)' --out demo/out
else
	$(SEGATTR) data synth demo/catalog --images 24 --seed 1 --products 1 1
	$(SEGATTR) extract demo/catalog/images --out demo/out
endif
	@echo "The report: $(CURDIR)/demo/out/report.html"

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -n 2

CHROMIUM = command -v chromium || command -v chromium-browser || command -v google-chrome
APT := $(if $(filter 0,$(shell id -u)),,sudo) apt-get

test-browser: $(VENV)/.dev
	test -n "$$SEGATTR_CHROMIUM" || $(CHROMIUM) || { $(APT) update && $(APT) install -y --no-install-recommends chromium; }
	$(VENV)/bin/python -m pytest tests/tools/editor/browser -p no:xdist

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

clean:
	rm -rf $(VENV) demo build *.egg-info
