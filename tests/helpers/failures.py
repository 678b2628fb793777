"""Calls that must fail."""

import pytest

from util.errors import run


def failure_line(capsys, call):
    """The one line on stderr of a script whose `call` must end with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        run(call)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]
