# The verbs of the project. `make run` and `make test` install what they need into .venv first.
PYTHON ?= python3.11
RECIPE ?= quickstart
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --prefer-binary --constraint constraints.txt
# Published for Keras 2 and TensorFlow's own package name, so their declared needs are not followed.
TENSORFLOW_RANKING := tensorflow-ranking tensorflow-serving-api tf-keras

.PHONY: run serve serve-down fortnight test cluster images sbom check manifests bench report pins clean

run: $(VENV)/run.stamp  ## The main job: from raw actions to vectors, their uses and a report. RECIPE=shopping for retail.
	$(BIN)/intent run --recipe $(RECIPE)

serve: $(VENV)/serve.stamp  ## Serve everything the last run trained, on this machine.
	$(BIN)/intent serve

serve-down: $(VENV)/serve.stamp  ## Stop what `make serve` started.
	$(BIN)/intent serve --down

fortnight: $(VENV)/serve.stamp  ## Replay a simulated fortnight against what is served, and analyse it.
	$(BIN)/intent fortnight

report: $(VENV)/run.stamp  ## Print the last run's tables.
	$(BIN)/intent report

test: $(VENV)/test.stamp  ## Every test.
	$(BIN)/python -m pytest

cluster: $(VENV)/serve.stamp  ## Build the programs of the tests' own Kubernetes cluster, once for all checkouts.
	$(BIN)/python -m tests.cluster.binaries

images:  ## Build the images of training and serving, with docker, podman or buildah. BASE= to stand on, IMAGES="train serve".
	$(PYTHON) -m tests.images.build $(if $(BASE),--base $(BASE)) $(IMAGES)

sbom:  ## Write what the images are made of to build/sbom, in CycloneDX.
	$(PYTHON) -m tests.images.sbom $(if $(BASE),--base $(BASE)) $(IMAGES)

check: $(VENV)/test.stamp  ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

manifests: $(VENV)/test.stamp  ## Render k8s/, the dashboards and the tables of docs/ from the chart.
	$(BIN)/python -m helm.dashboards
	$(BIN)/python -m helm.values_table
	$(BIN)/python -m helm.network_table
	$(BIN)/python -m k8s.render

bench: $(VENV)/test.stamp  ## Ours and the peers side by side. ONLY=slice for one of them.
	$(BIN)/python -m benchmarks $(ONLY)

pins: $(VENV)/test.stamp  ## Write constraints.txt from what is installed.
	{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.new
	mv constraints.new constraints.txt

clean:  ## Remove the environment and every run.
	rm -rf $(VENV) runs

$(VENV)/run.stamp: pyproject.toml constraints.txt
	$(call environment)
	@echo "Installing Intent Store into $(VENV), once (3 to 5 minutes)..."
	$(PIP) --editable .
	$(PIP) --no-deps $(TENSORFLOW_RANKING)
	@touch $@

$(VENV)/serve.stamp: $(VENV)/run.stamp
	$(BIN)/python -m serving.local.binaries nginx
	@touch $@

$(VENV)/test.stamp: $(VENV)/serve.stamp
	@echo "Installing what the tests need into $(VENV), once..."
	$(PIP) --editable '.[dev]'
	$(BIN)/python -m serving.local.binaries redis-server redis-cli wrk
	-$(BIN)/python -m tests.cluster.binaries
	@touch $@

# An environment of another Python, or one without pip, is built anew; a sound one is kept.
define environment
@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	|| $(PYTHON) -m venv --clear $(VENV)
endef
