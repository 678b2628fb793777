PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
WORKERS ?= 2

.PHONY: demo demo-train test check lint clean

test check: export OMP_NUM_THREADS ?= 1
test check: $(VENV)/installed
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) -m pytest --numprocesses $(WORKERS) --dist worksteal $(if $(filter check,$@),-m "not slow")

demo demo-train: $(VENV)/installed
	$(RUN) scripts/demo.py $(if $(filter demo-train,$@),--train)

lint: $(VENV)/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

$(VENV)/installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --upgrade --quiet pip
	$(RUN) -m pip install --quiet -r requirements.txt
	touch $@

clean:
	rm -rf $(VENV) demo
