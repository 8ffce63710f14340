"""Asking before work that takes long."""

import pytest

from vitquant.cli.arguments import confirmation
from vitquant.cli.console import Terminal
from vitquant.core.errors import UserError

HOUR = 3600


def test_long_work_is_refused_where_there_is_nobody_to_ask(capsys):
    tell = confirmation(False, Terminal())("fewer --samples")
    with pytest.raises(UserError, match=r"--yes: this takes about 2 hours.*fewer --samples"):
        tell(2 * HOUR)
    assert "this takes about 2 hours" in capsys.readouterr().err


@pytest.mark.parametrize(("yes", "seconds"), [(True, 2 * HOUR), (False, HOUR / 2)])
def test_work_that_is_meant_or_short_goes_on(yes, seconds, capsys):
    confirmation(yes, Terminal())("fewer --samples")(seconds)
    assert "this takes about" in capsys.readouterr().err
