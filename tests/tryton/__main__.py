"""`python -m tests.tryton`: plays it, prints what happened, ends with 0 only if it is all true."""

import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from tests.test_up import wait_until
from tests.tryton.books import Books, kept, wait_for
from tests.tryton.site import DEBITS, Site, running

PAID, EXPIRED, DEBIT = "INV-1043", "INV-1044", "INV-2001"
SUCCEEDED, FAILED = "state:succeeded", "state:failed"

_started = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - _started:6.1f} s  {text}", flush=True)  # noqa: T201 - the transcript


def main() -> None:
    """Raise AssertionError at the first thing that is not as it must be."""
    names = ("trytond", "trytond_account_payment", "settled")
    say(", ".join(f"{name} {version(name)}" for name in names))
    with tempfile.TemporaryDirectory(prefix="tryton-books-") as folder:
        payments = dict.fromkeys((PAID, EXPIRED, DEBIT), "40.00")
        with kept(Path(folder), payments) as books, running(books) as site:
            for reference in payments:
                say(f"Tryton: {reference} 40.00 EUR is {books.state(reference)}")
            pay_and_charge_back(site, books)
            let_expire(site, books)
            pay_out(site, books)
            say("all of it is true")


def pay_and_charge_back(site: Site, books: Books) -> None:
    provider_id = site.begin(site.account, PAID, "paid")
    say(f"payer: pays {PAID} at Ginger; every webhook is sent twice")
    say(f"Tryton: {PAID} is succeeded after {wait_for(books, PAID, 'succeeded'):.1f} s")
    send_again(site, books, PAID, [SUCCEEDED])

    site.go_on(site.account, provider_id, "chargeback")
    say(f"payer: has the bank take {PAID} back")
    say(f"Tryton: {PAID} is failed after {wait_for(books, PAID, 'failed'):.1f} s")
    send_again(site, books, PAID, [SUCCEEDED, FAILED])


def send_again(site: Site, books: Books, reference: str, presses: list[str]) -> None:
    """Send every notification again, old ones too: Tryton's own log must not grow."""
    wait_until(site.is_idle)
    state = books.state(reference)
    again = site.send_all_again("tryton-paid")
    wait_until(site.is_idle)
    say(f"settled: {site.webhooks()} webhooks stored; sends all {again} notifications once more")
    for kind, outcomes in site.outcomes("tryton-paid", reference):
        say(f"settled: {kind}: {', '.join(outcomes)}")
    assert books.state(reference) == state
    assert books.presses(reference) == presses
    say(f"Tryton: {reference} is still {state}; its log of settled: {', '.join(presses)}")


def let_expire(site: Site, books: Books) -> None:
    site.begin(site.account, EXPIRED, "expired")
    say(f"payer: lets {EXPIRED} expire")
    say(f"Tryton: {EXPIRED} is failed after {wait_for(books, EXPIRED, 'failed'):.1f} s")
    assert books.presses(EXPIRED) == [FAILED]


def pay_out(site: Site, books: Books) -> None:
    """What is only paid is not booked where an endpoint books what is settled."""
    provider_id = site.begin(DEBITS, DEBIT, "customer_approval_granted")
    say(f"payer: has {DEBIT} debited by GoCardless")
    wait_until(lambda: ("order.paid", ["nothing_to_do"]) in site.outcomes("tryton-settled", DEBIT))
    assert books.state(DEBIT) == "processing"
    say(f"settled: order.paid: nothing_to_do; Tryton: {DEBIT} is still processing")

    site.go_on(DEBITS, provider_id, "fallback")
    say(f"GoCardless: pays {DEBIT} out")
    say(f"Tryton: {DEBIT} is succeeded after {wait_for(books, DEBIT, 'succeeded'):.1f} s")
    wait_until(site.is_idle)
    assert ("order.settled", ["done"]) in site.outcomes("tryton-settled", DEBIT)
    assert books.presses(DEBIT) == [SUCCEEDED]


if __name__ == "__main__":
    main()
