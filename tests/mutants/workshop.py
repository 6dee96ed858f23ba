"""Where mutants are made and tried: a copy of the sources and the quick tests, and mutmut at work in it."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKSHOP = ROOT / ".mutants"
PYTHON = ROOT / ".venv" / "mutants" / "bin" / "python"

POLLER = "lambdas/poller/poller.py"
BESIDE_POLLER = "lambdas/poller/batched_checks.py"
MUTATED = (
    "scheduler/core/*.py",
    "scheduler/engine/*.py",
    "scheduler/daemon.py",
    "scheduler/aws/token_table.py",
    "scheduler/aws/due_finder.py",
    "scheduler/aws/batch_writes.py",
    "scheduler/aws/table_shape.py",
    "scheduler/aws/replica_table.py",
    "scheduler/web/health.py",
    POLLER,
)
"""Where small bugs would cost jobs their answers. The rest is commands, set-up and what people look at."""

_TESTS = "tests/unit"
_NO_HELP = (
    "tests/unit/aws_server",  # real processes, and tests of the tests
    "tests/unit/aws/test_roles.py",
    "tests/unit/test_readme.py",
    "tests/unit/test_definition.py",
    "tests/unit/lambdas/test_create_job_function.py",
    "tests/unit/lambdas/test_create_job_races.py",
    "tests/unit/lambdas/test_create_job_retried.py",
    "tests/unit/lambdas/test_create_job_unavailable.py",
    "tests/unit/commands",
    "tests/unit/lambdas/test_simulated_api_function.py",
)

# How a test failed is of no interest, and to explain how two long texts differ can take minutes.
# A mutant that loops for ever is given up after three times what its tests take, and three seconds.
_SETTINGS = """
[tool.mutmut]
source_paths = ["scheduler", "poller.py", "batched_checks.py"]
only_mutate = {only}
pytest_add_cli_args = ["-p", "no:cacheprovider", "--assert=plain", "--tb=no", "--no-header", "--no-summary"]
pytest_add_cli_args_test_selection = {tests}
timeout_constant = 1.0
timeout_multiplier = 3.0
use_git_change_detection = false
track_dependencies = false
"""


def sources(patterns: Sequence[str] = ()) -> list[str]:
    """Give the files that are mutated: all, or those of them that a pattern names."""
    mutated = {str(path.relative_to(ROOT)) for pattern in MUTATED for path in ROOT.glob(pattern)}
    return sorted(path for path in mutated if not patterns or any(Path(path).match(pattern) for pattern in patterns))


def build(paths: Sequence[str]) -> None:
    """Make the workshop anew. Nothing is kept of an earlier run: what a test no longer kills would still count."""
    shutil.rmtree(WORKSHOP, ignore_errors=True)
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "scheduler", WORKSHOP / "scheduler", ignore=caches)
    shutil.copytree(ROOT / "tests", WORKSHOP / "tests", ignore=caches)
    # Mutants are known by their module's name, and the poller Lambda's is `poller`: it is the root of a zip.
    shutil.copy2(ROOT / POLLER, WORKSHOP / in_workshop(POLLER))
    shutil.copy2(ROOT / BESIDE_POLLER, WORKSHOP)
    tests = [_TESTS, *(f"--ignore={path}" for path in _NO_HELP)]
    settings = _SETTINGS.format(only=[in_workshop(path) for path in paths], tests=tests)
    (WORKSHOP / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text("utf-8") + settings, "utf-8")


def in_workshop(path: str) -> str:
    """Give the path that a source has in the workshop."""
    return "poller.py" if path == POLLER else path


def run() -> None:
    """Let mutmut make the mutants and try each on the tests that reach it. Ends the command where it cannot."""
    log = WORKSHOP / "mutmut.log"
    with log.open("wb") as output:
        # Its progress is for people who watch; a log would have thousands of such lines.
        watched = sys.stderr.isatty()
        done = subprocess.run(
            [PYTHON, "-m", "tests.mutants.nearest_first", "run"],
            cwd=WORKSHOP,
            stdout=sys.stderr if watched else output,
            stderr=None if watched else output,
            check=False,
        )
    if done.returncode:
        sys.exit(f"mutmut ended with {done.returncode}:\n{log.read_text('utf-8', 'replace')[-3_000:]}")
