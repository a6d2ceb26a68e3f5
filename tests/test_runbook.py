"""The SQL in deploy/RUNBOOK.md, run as it stands there: at three at night it must not be wrong."""

import re

import pytest

from service.storage.database import Pool
from tests.test_alerts import labels_of_metrics
from tests.test_embedded import REPOSITORY

RUNBOOK = (REPOSITORY / "deploy" / "RUNBOOK.md").read_text(encoding="utf-8")
STATEMENTS = re.findall(r'^sql "(.+)"$', RUNBOOK, re.MULTILINE)


async def test_every_statement_of_the_runbook_reads_and_changes_nothing(pool: Pool) -> None:
    assert STATEMENTS
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("set transaction read only")
        for statement in STATEMENTS:
            await connection.execute(statement.encode())


@pytest.mark.parametrize("name", re.findall(r"grep -E '\^settled_\(([^)]*)\)'", RUNBOOK))
def test_the_runbook_looks_for_metrics_that_there_are(name: str) -> None:
    known = labels_of_metrics()

    for part in name.split("|"):
        assert any(each.startswith(f"settled_{part}") for each in known), part
