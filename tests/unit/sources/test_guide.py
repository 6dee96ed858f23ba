"""What the guide and the README give to copy is right, and gets no warning."""

import re
from pathlib import Path

import pytest

from scheduler.source_file import read_sources

ROOT = Path(__file__).parents[3]


def blocks(name: str) -> list[str]:
    """Give the blocks of YAML in a document that are whole entries."""
    found = re.findall(r"^```yaml\n(.*?)^```", (ROOT / name).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in found if not block.startswith("auth:")]


@pytest.mark.parametrize("block", [*blocks("docs/sources.md"), *blocks("docs/presets.md"), *blocks("README.md")])
def test_an_example_to_copy_is_right(tmp_path: Path, block: str) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(block)
    assert read_sources(str(file)).warnings == []


def test_each_auth_of_the_guide_is_right(tmp_path: Path) -> None:
    guide = (ROOT / "docs/sources.md").read_text("utf-8")
    kinds = re.findall(r"^auth: (\{.*\})$", guide, re.MULTILINE)
    assert len(kinds) == 5
    file = tmp_path / "sources.yaml"
    file.write_text(
        "".join(
            f'a{number}: {{http: {{url: "https://example.com/{{jobId}}", auth: {kind.replace("SECRET", "{env: A}")}}},'
            " status: body.state, completed: [DONE]}\n"
            for number, kind in enumerate(kinds)
        )
    )
    assert read_sources(str(file)).warnings == []
