"""What a call carries: which of its events make us look, and why the others do not.

An event names what to read and decides nothing. One that is broken or unknown never blocks its
neighbours. Source: fact sheet gocardless, section 5.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from service.domain.event import Event, EventVerdict
from service.domain.status import Status, words_of
from service.domain.strict_json import NotStrict
from service.errors import Malformed, Unreadable
from service.providers.gocardless.by_item import parse_by_item
from service.providers.gocardless.shapes import EventItem, event_id_in, moment_in, shaped


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Actions that may change what we record, by resource type. Source: sections 5.1 and 5.2.
TELLING: Final = {
    "billing_requests": _words(
        """
        created bank_authorisation_authorised bank_authorisation_denied bank_authorisation_expired
        bank_authorisation_failed fulfilled cancelled failed
        """
    ),
    "payments": _words(
        """
        created customer_approval_granted customer_approval_denied submitted confirmed paid_out
        failed cancelled charged_back chargeback_cancelled resubmission_requested
        late_failure_settled chargeback_settled surcharge_fee_debited sds_settlement_delayed
        """
    ),
    "payouts": _words("paid fx_rate_confirmed tax_exchange_rates_confirmed"),
    "refunds": _words("created paid failed refund_settled funds_returned"),
}

# The status that an action claims: a payment's are called like its words. That a billing request
# was fulfilled claims nothing, as its payment decides from then on.
CLAIMING: Final[Mapping[str, Mapping[str, Status]]] = {
    "billing_requests": {"cancelled": Status.CANCELLED},
    "payments": words_of("gocardless", "payment"),
}

# Steps of the payer within a billing request that stays as it is. Source: section 5.1, "none".
QUIET: Final = _words(
    """
    flow_created flow_visited flow_exited choose_currency collect_amount collect_customer_details
    select_institution collect_bank_account payer_details_confirmed bank_authorisation_visited
    """
)

# The payer's country may not use the page: nothing to read, but worth its own word in the inbox.
GEO_BLOCKED: Final = "payer_geo_blocked"

UNNEEDED: Final = _words(
    """
    mandates subscriptions instalment_schedules creditors customers exports organisations
    outbound_payments payer_authorisations payment_account_transactions scheme_identifiers
    """
)


def events_in(body: bytes, *, organisation_id: str | None = None) -> Sequence[Event]:
    """Return the events in a signed body. Raises Malformed only for a broken envelope.

    What another organisation than ours is named with is set aside, where ours is given.
    """
    try:
        envelope = parse_by_item(body, "events")
    except NotStrict as error:
        raise Malformed(str(error)) from error
    if not isinstance(envelope, dict) or not isinstance(envelope.get("events"), list):
        raise Malformed("expected an object with a list of events")
    return [_event_in(raw, organisation_id) for raw in envelope["events"]]


def _event_in(raw: object, organisation_id: str | None) -> Event:
    """Return one item as an event; what keeps us from reading its subject is the reason."""
    try:
        item = shaped(raw, EventItem)
        reason = _reason_to_ignore(item, organisation_id)
        subject = None if reason else item.names
    except Unreadable:
        event_id = event_id_in(raw.get("id")) if isinstance(raw, dict) else None
        return _set_aside(event_id, "malformed_event")
    if subject is None:
        return _set_aside(item.id, reason or "unneeded_resource", created_at=item.created_at)
    kind, provider_id = subject
    claims = CLAIMING.get(item.resource_type, {}).get(item.action)
    return Event(kind, provider_id, item.id, created_at=moment_in(item.created_at), claims=claims)


def _reason_to_ignore(item: EventItem, organisation_id: str | None) -> str | None:
    """Return why an event changes nothing for us, None for one that may.

    Only the events of a partner's app name an organisation. Source: section 5, `links`.
    """
    if organisation_id is not None and item.links.organisation not in (None, organisation_id):
        return "foreign_organisation"
    if item.resource_type in UNNEEDED:
        return "unneeded_resource"
    if item.action in TELLING.get(item.resource_type, ()):
        return None
    if item.resource_type == "billing_requests" and item.action in QUIET:
        return "no_change"
    if item.resource_type == "billing_requests" and item.action == GEO_BLOCKED:
        return GEO_BLOCKED
    return "unknown_event"


def _set_aside(event_id: str | None, reason: str, *, created_at: object = None) -> Event:
    return Event(
        None,
        None,
        event_id,
        verdict=EventVerdict.SET_ASIDE,
        reason=reason,
        created_at=moment_in(created_at),
    )
