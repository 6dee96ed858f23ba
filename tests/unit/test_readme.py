"""The README names what is there: every setting with its default, every command, no make target that is not."""

import re
from pathlib import Path

from scheduler.commands.app import app
from scheduler.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SETTINGS = {PREFIX + name.upper(): field.default for name, field in Settings.model_fields.items()}


def test_every_setting_is_named_with_its_default() -> None:
    named = dict(re.findall(rf"^\| `({PREFIX}\w+)` \| (\S+) \|", README, re.MULTILINE))
    assert named == {name: "unset" if default is None else str(default) for name, default in SETTINGS.items()}


def test_every_command_is_named() -> None:
    named = re.findall(r"^\| `callback-scheduler (\w+)", README, re.MULTILINE)
    there = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    there += [group.name or "" for group in app.registered_groups]
    assert sorted(named) == sorted(there)


def test_compose_passes_every_setting_on() -> None:
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert set(re.findall(rf"^ +({PREFIX}\w+):", compose, re.MULTILINE)) == SETTINGS.keys()


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = README + (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert named >= {"demo", "test"}
    assert named <= targets
