"""The table of what a guard in front of a cluster changes has one row for each code, and agrees with the code."""

import pytest

from mqguard.guard.requirements.evaluation import TABLE
from mqguard.proxy.sessions import answer_filters, rewriting, rewriting_table
from mqguard.remoting.codes import CODE_NAMES


@pytest.mark.parametrize("code", sorted(TABLE))
def test_each_code_has_one_row(code: int) -> None:
    rows = [
        code in rewriting_table.CHANGES,
        code in rewriting_table.UNCHANGED,
        code in rewriting_table.ANSWERED_HERE,
        code in rewriting_table.BETWEEN_COMPONENTS,
        code in rewriting_table.NOT_PASSED_ON,
    ]
    assert sum(rows) == 1, f"{CODE_NAMES[code]} needs one row in `proxy/sessions/rewriting_table.py`"


def test_the_table_names_the_answers_that_are_read() -> None:
    changed = {code for code, row in rewriting_table.CHANGES.items() if row.answer}
    assert changed == rewriting.ANSWERS | set(answer_filters.FILTERS)


def test_the_table_names_the_requests_to_clients_that_are_changed() -> None:
    changed = {code for code, row in rewriting_table.CHANGES.items() if row.request}
    assert changed >= rewriting.TO_CLIENTS
