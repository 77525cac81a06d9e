"""README.md says what is so: its configuration reference, its example, its commands and its table of exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from trio_router import parse_config
from trio_router.cli.main import main
from trio_router.cli.reference import BEGIN, END, reference

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_configuration_reference_is_made_from_the_models() -> None:
    written = README.split(BEGIN)[1].split(END)[0].strip()
    assert written == reference(), "run: python -m trio_router.cli.reference README.md"


def test_every_key_says_what_it_means() -> None:
    assert not [row for row in reference().splitlines() if row.endswith("|  |")]


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_every_yaml_example_is_a_good_configuration(example: str) -> None:
    parse_config(example)


@pytest.mark.parametrize("command", ["serve", "check", "demo"])
def test_every_command_is_told_of(command: str) -> None:
    assert command in main.commands
    assert f"trio-router {command}" in README
    assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0
