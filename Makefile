# Thin names for commands that also work without make. Everything is installed into .venv/ of this
# folder; PYTHON chooses the interpreter it is made from (3.11 to 3.13), CORES how many may work.

PYTHON ?= python3
CORES ?= 2
BIN = .venv/bin
# snakefmt looks for shfmt on the path
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help demo test lint benchmark benchmark-m6a benchmark-tests lock clean

help:
	@echo "make demo        run the embedded study to a report"
	@echo "make test        lint, type check and every test"
	@echo "make lint        lint and type check alone"
	@echo "make benchmark   how well back-splices are found, on a simulated study (needs STAR)"
	@echo "make benchmark-m6a    how well m6A peaks are called (needs STAR)"
	@echo "make benchmark-tests  how far the tests can be believed, and what they find"
	@echo "make lock        renew requirements.lock"

# made whole or not at all, and again when the lock changes
.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Ringmark needs Python 3.11 to 3.13; say make PYTHON=python3.12"; exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements.lock
	touch $@

demo: .venv/installed
	$(BIN)/snakemake --cores $(CORES)
	@echo
	@echo "The report is $(CURDIR)/results/report/index.html"

test: .venv/installed lint
	$(BIN)/pytest -n $(CORES) --dist loadgroup --no-loadscope-reorder

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint

benchmark: .venv/installed
	$(BIN)/python benchmarks/back_splices/run.py --variant main --cores $(CORES)

benchmark-m6a: .venv/installed
	$(BIN)/python benchmarks/m6a_peaks/run.py --variant main --cores $(CORES)

benchmark-tests: .venv/installed
	$(BIN)/python benchmarks/differential/run.py --variant main null_main unmethylated --cores $(CORES)

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --quiet --group dev --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv results .snakemake
