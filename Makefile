# `make demo` and `make test` are the two to know; each sets up what is missing first.
.PHONY: demo test check test-weights test-gpu test-versions test-app abuse bench pictures python zip release lint format lock clean

SETUP := @sh tools/setup/bootstrap.sh

demo:    ## a folder of images becomes out/courtyard.blend, .png and .json
	$(SETUP) run tools/demo.py

test:    ## lint, types and all tests; the last line is the count. T=tests/core/frames: those only
	$(SETUP) run tools/test.py $(T)

check:   ## lint, types, import graph and the fast tests, in less than a minute
	$(SETUP) run tools/test.py --check

test-weights: ## real weights in models/ (or $$DA3_MODELS) on the samples; without any it says so
	$(SETUP) run tools/weights.py

test-gpu: ## on a machine with a graphics card: its claims, speed and memory; without one it says so
	$(SETUP) run tools/bench/gpu.py

test-versions: ## the Blender tests and the zip's life on 4.2, 4.5, 5.0, 5.2 and 5.3
	$(SETUP) run tools/versions.py

test-app: ## a real Blender 4.3 with its window, under Xvfb; needs root on Debian, else says so
	$(SETUP) run tools/app.py

abuse:   ## what can go wrong, done on purpose: a table of what was lost; ARGS=--short takes a minute
	$(SETUP) run tools/abuse $(ARGS)

bench:   ## measured figures in out/bench.json, about a quarter of an hour; ARGS="--compare OLD.json", ARGS=NAME
	$(SETUP) run tools/bench/run_all.py $(ARGS)

pictures: ## the pictures of the pages that are older than what they show; ARGS=--check only names them, ARGS=NAME
	$(SETUP) run tools/pictures $(ARGS)

python:  ## `make -s python` prints the interpreter that has bpy
	$(SETUP) python

zip:     ## the extension, validated, in dist/
	$(SETUP) run tools/build_zip.py

release: ## the zip, tested on every Blender, and its SHA-256; needs a clean checkout and a dated changelog entry
	$(SETUP) run tools/hosting/release.py

lint:    ## ruff and mypy only
	$(SETUP) run tools/test.py --lint

format:  ## ruff's form for every Python file
	$(SETUP) run -m ruff format .

lock:    ## the lock files anew, with today's versions
	$(SETUP) boot tools/setup/lock.py

clean:   ## what the commands above left in the checkout; environments stay
	rm -rf out dist
