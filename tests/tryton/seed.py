"""Fills new books: a company, a user for settled, and payments in processing.

Run as `python -m tests.tryton.seed CONFIG PASSWORD REFERENCE=AMOUNT...`, in a process of its own,
because trytond keeps a database open for as long as its process lives.
"""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from proteus import Model, config
from trytond.modules.company.tests.tools import create_company, get_company
from trytond.modules.currency.tests.tools import get_currency

DATABASE = "books"
USER = "settled"


def fill(configuration: str, password: str, payments: Mapping[str, str]) -> None:
    """Make what a bookkeeper would make before anybody can pay."""
    config.set_trytond(f"sqlite:///{DATABASE}", config_file=configuration)
    create_company(currency=get_currency("EUR"))
    _add_user(password)
    journal = Model.get("account.payment.journal")(name="Online", process_method="manual")
    journal.save()
    party = Model.get("party.party")(name="Customer")
    party.save()
    for reference, amount in payments.items():
        payment = Model.get("account.payment")(
            journal=journal,
            kind="receivable",
            party=party,
            date=datetime.now(UTC).date(),
            amount=Decimal(amount),
            reference=reference,
        )
        payment.save()
        payment.click("submit")
        payment.click("process_wizard")


def _add_user(password: str) -> None:
    """Make the user as whom settled comes: it may do what the group Payment may."""
    user = Model.get("res.user")(name=USER, login=USER, password=password)
    groups = Model.get("res.group")
    [group] = groups.find([("name", "=", "Payment")])
    user.groups.append(groups(group.id))
    company = get_company()
    user.companies.append(Model.get("company.company")(company.id))
    user.company = company
    user.save()


if __name__ == "__main__":
    fill(sys.argv[1], sys.argv[2], dict(each.split("=") for each in sys.argv[3:]))
