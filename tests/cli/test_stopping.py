"""Ctrl-C ends a command with what it leaves behind, not with silence."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from serverless_lab.cli.stopping import if_stopped


def test_what_goes_on_is_said_and_the_exit_code_is_a_shell_s(capsys: Any) -> None:
    with pytest.raises(typer.Exit) as ended, if_stopped("CloudFormation goes on"):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert capsys.readouterr() == ("", "stopped: CloudFormation goes on\n")


def test_nothing_is_said_of_a_command_that_ends_or_fails_by_itself(capsys: Any) -> None:
    with if_stopped("CloudFormation goes on"):
        pass
    with pytest.raises(ValueError, match="a bug"), if_stopped("CloudFormation goes on"):
        raise ValueError("a bug")
    assert capsys.readouterr() == ("", "")
