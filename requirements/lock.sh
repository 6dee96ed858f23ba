#!/bin/sh
# Pins every dependency with its hashes, for each Python that is supported, and names no package index.
set -eu
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url "$@"; }
compile pyproject.toml -o requirements/runtime.txt
compile --group pyproject.toml:build -o requirements/build.txt
compile pyproject.toml --group pyproject.toml:dev -c requirements/runtime.txt -o requirements/dev.txt
compile --group pyproject.toml:emulator -o requirements/emulator.txt
compile --group pyproject.toml:audit -o requirements/audit.txt
compile pyproject.toml --group pyproject.toml:mutants -c requirements/dev.txt -o requirements/mutants.txt
compile --group pyproject.toml:moto -o requirements/moto.txt
