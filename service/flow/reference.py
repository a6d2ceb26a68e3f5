"""Puts requests under the orders that the references at their providers name.

Where a provider takes letters and digits only, its reference may be that of a registered order
without the rest. That is used where one order alone can be meant. Source: CONTRACT.md, section 6.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from service.domain.lifecycle import NoChange, Transition
from service.domain.reference import is_stripped
from service.domain.request import LinkedBy, Observation
from service.fetch import ConnectedAccount
from service.flow.compare import Judged
from service.flow.look import Look
from service.providers import strips_references
from service.storage.orders import Named
from service.storage.unit_of_work import Work

# More than one registered order may be meant; goes when the request is under an order.
AMBIGUOUS: Final = "reference_ambiguous"

Accounts = Mapping[str, ConnectedAccount]


def stripping(accounts: Accounts) -> frozenset[str]:
    """Return the names of the accounts whose references may lack some of their characters."""
    return frozenset(
        name
        for name, account in accounts.items()
        if strips_references(account.provider) and account.provider.strips_references
    )


def stripped_in(looks: Iterable[Look], accounts: Accounts) -> set[str]:
    """Return the references in looks that may be what is left of a registered order's."""
    among = stripping(accounts)
    return {
        look.answer.reference
        for look in looks
        if isinstance(look.answer, Observation)
        and look.claimed.account in among
        and look.answer.reference
        and is_stripped(look.answer.reference)
    }


async def put_under_named(
    judged: Sequence[Judged], accounts: Accounts, work: Work
) -> tuple[Judged, ...]:
    """Return judged with each request that is under no order put under the one it names.

    Orders that nobody knows are made. Where several registered orders may be meant the request
    stays as it is, and says so. `Work.orders.agree_on` was called for the references that may
    lack characters when the transaction began.
    """
    naming = {one.request.key: name for one in judged if (name := _named_by(one)) is not None}
    among = stripping(accounts)
    short = {key for key, name in naming.items() if key.account in among and is_stripped(name)}
    candidates = await work.orders.reading({naming[key] for key in short})
    known = {key for key in short if naming[key] in candidates}
    made = await work.orders.discover({naming[key] for key in naming.keys() - known})
    placed = []
    for one in judged:
        name = naming.get(one.request.key)
        if name is None:
            placed.append(one)
        elif one.request.key not in known:
            placed.append(_under(one, Named(made[name], name)))
        elif (order := meant_by(name, candidates[name])) is not None:
            placed.append(_under(one, order))
        else:
            placed.append(_ambiguous(one))
    return tuple(placed)


def meant_by(reference: str, orders: Sequence[Named]) -> Named | None:
    """Return the order that a reference means, of those that read so without the rest.

    The one of exactly that reference, else the only one; None where there are several.
    """
    exact = [order for order in orders if order.reference == reference]
    choice = exact or orders
    return choice[0] if len(choice) == 1 else None


def _named_by(judged: Judged) -> str | None:
    """Return the reference of a request that a good read left under no order."""
    match judged.verdict:
        case Transition(after=after) | NoChange(after=after) if after.order_id is None:
            return after.reference
        case _:
            return None


def _under(judged: Judged, order: Named) -> Judged:
    return _with_after(
        judged, order_id=order.id, linked_by=LinkedBy.REFERENCE, reference=order.reference
    )


def _ambiguous(judged: Judged) -> Judged:
    assert isinstance(judged.verdict, Transition | NoChange), "only good reads name an order"
    return _with_after(judged, attention=judged.verdict.after.attention | {AMBIGUOUS})


def _with_after(judged: Judged, **changed: Any) -> Judged:
    verdict = judged.verdict
    assert isinstance(verdict, Transition | NoChange), "only good reads have an after"
    return replace(judged, verdict=replace(verdict, after=replace(verdict.after, **changed)))
