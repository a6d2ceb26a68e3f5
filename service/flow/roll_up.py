"""Adds up orders from their requests, and tells the ERP what came of it.

Everything here runs inside a unit of work. An order's number, its history and its message are
written together, under the order's lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from service.domain.attention import raised
from service.domain.history import chain
from service.domain.notification import amounts, notification_of_order, time_text
from service.domain.order import OrderState, roll_up
from service.domain.request import ObservedBy
from service.flow.record import News, endpoints_for, turns_for, write_news
from service.settings import Endpoint
from service.storage.history import TransitionRow
from service.storage.identifiers import new_id
from service.storage.notifications import NotificationRow
from service.storage.orders import Member, OrderRow, RolledUp
from service.storage.unit_of_work import Work


async def roll_up_orders(
    work: Work,
    triggered: Mapping[str, ObservedBy],
    *,
    endpoints: Sequence[Endpoint],
    at: datetime,
    before: Mapping[str, OrderRow] | None = None,
    traceparents: Mapping[str, str] | None = None,
    news: News | None = None,
) -> int:
    """Add up orders again from their requests; return how many changed.

    news is what is to be written of the requests that moved, before what becomes of their orders.

    triggered maps each order's id to what made us look at it. before holds those of them of which
    another amount is expected since, as they stood: that is told, whatever they add up to.
    traceparents has the traces that orders' messages belong to; others begin one of their own.

    Locks the orders first and reads their requests in a later statement, so that two requests
    of one order which are paid at the same instant see each other.
    """
    news = news or News()
    if not triggered:
        await write_news(work, news)
        return 0
    orders = await work.orders.lock(triggered)
    members = await work.orders.members(triggered)
    changed = 0
    saved: list[RolledUp] = []
    for order in orders:
        of_order = members.get(order.id, [])
        state = _added_up(order, of_order)
        was = (before or {}).get(order.id, order)
        if _facts_of(was) != _facts_after(order, state):
            row = _transition_row(was, order, state, triggered[order.id], at)
            message = _message(order, state, of_order, row.sequence, endpoints, at)
            trace = (traceparents or {}).get(order.id, message.traceparent)
            news.transitions.append(row)
            news.messages.append(replace(message, traceparent=trace))
            changed += 1
            saved.append(RolledUp(order.id, state, row.sequence, row.hash))
        elif _is_remembered_otherwise(order, state):
            saved.append(RolledUp(order.id, state, order.sequence, order.chain))
    await write_news(work, news, orders=saved)
    return changed


def _added_up(order: OrderRow, members: Sequence[Member]) -> OrderState:
    state = roll_up(
        amount=order.amount if order.registered else None,
        currency=order.currency if order.registered else None,
        requests=[member.sibling for member in members],
        withdrawn=order.withdrawn,
    )
    attention = raised(state.grounds, before=order.raised_by, attention=order.attention)
    return replace(state, attention=attention)


def _facts_of(order: OrderRow) -> dict[str, object]:
    """Return what the ERP has to hear of when it changes."""
    return {
        "status": order.status,
        "received": order.received,
        "refunded": order.refunded,
        "taken_back": order.taken_back,
        "booked": order.booked,
        **_expected_of(order),
    }


def _facts_after(order: OrderRow, state: OrderState) -> dict[str, object]:
    return {
        "status": str(state.status),
        "received": state.received,
        "refunded": state.refunded,
        "taken_back": state.taken_back,
        "booked": state.booked,
        **_expected_of(order),
    }


def _expected_of(order: OrderRow) -> dict[str, object]:
    return {
        "amount": order.amount if order.registered else None,
        "currency": order.currency if order.registered else None,
        "withdrawn": order.withdrawn,
    }


def _is_remembered_otherwise(order: OrderRow, state: OrderState) -> bool:
    return (
        order.rule != state.rule
        or set(order.attention) != state.attention
        or set(order.raised_by) != state.grounds
    )


def _transition_row(
    was: OrderRow, order: OrderRow, state: OrderState, observed_by: ObservedBy, at: datetime
) -> TransitionRow:
    before = None if was.status is None else {**_facts_of(was), "rule": was.rule}
    after = {**_facts_after(order, state), "rule": state.rule}
    content: dict[str, object] = {
        "subject_id": order.id,
        "sequence": order.sequence + 1,
        "type": f"order.{state.status}",
        "before": before,
        "after": after,
        "observed_by": str(observed_by),
        "recorded_at": time_text(at),
    }
    return TransitionRow(
        id=new_id("trn"),
        subject="order",
        subject_id=order.id,
        sequence=order.sequence + 1,
        type=f"order.{state.status}",
        before=before,
        after=after,
        correction=False,
        observed_by=observed_by,
        observation_id=None,
        answer_sha256=None,
        lease_no=None,
        version=None,
        occurred_at=None,
        recorded_at=at,
        chained_from=order.chain,
        hash=chain(order.chain, content),
    )


def _message(
    order: OrderRow,
    state: OrderState,
    members: Sequence[Member],
    sequence: int,
    endpoints: Sequence[Endpoint],
    at: datetime,
) -> NotificationRow:
    identifier = new_id("ntf")
    kind = f"order.{state.status}"
    return NotificationRow(
        id=identifier,
        type=kind,
        subject="order",
        subject_id=order.id,
        sequence=sequence,
        account=None,
        reference=order.reference,
        body=notification_of_order(
            state,
            notification_id=identifier,
            order_id=order.id,
            reference=order.reference,
            sequence=sequence,
            previous_status=order.status,
            amount=order.amount if order.registered else None,
            withdrawn=order.withdrawn,
            requests=[_brief(member) for member in members],
            recorded_at=at,
        ),
        created_at=at,
        endpoints=endpoints_for(endpoints, kind, {member.key.account for member in members}),
        due_at=turns_for(endpoints, at),
    )


def _brief(member: Member) -> Mapping[str, object]:
    facts = member.sibling.facts
    money = (
        amounts(facts.currency, facts.amount, facts.money)
        if facts
        else amounts(None, None, (0, 0, 0, 0))
    )
    return {
        "id": member.sibling.request_id,
        "account": member.key.account,
        "status": facts.status if facts else None,
        "received": money["received"],
        "refunded": money["refunded"],
    }
