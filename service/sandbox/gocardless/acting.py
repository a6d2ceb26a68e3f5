"""The calls that change something at GoCardless. Source: fact sheet, sections 2, 10 and 12."""

from typing import TypeVar

import msgspec
from msgspec import Struct
from starlette.responses import Response

from service.sandbox.gocardless.creation import Asked, BillingRequest, Metadata, Text, Wrong, check
from service.sandbox.gocardless.doors import Visit
from service.sandbox.gocardless.errors import bad_usage, invalid, key_used, wrong_state
from service.sandbox.gocardless.happenings import What
from service.sandbox.gocardless.hooks import webhook_json
from service.sandbox.gocardless.moves import happen
from service.sandbox.gocardless.parts import flow_of, has_mandate
from service.sandbox.gocardless.pictures import flow_json
from service.sandbox.gocardless.reading import (
    billing_request_of,
    payment_of,
    shown_billing,
    shown_payment,
    webhook_of,
)
from service.sandbox.provider_http import ProviderError, json_answer

T = TypeVar("T")

# Not documented; the official libraries send 36 characters.
KEY_LENGTH_MAX = 255

# What the merchant's own pages may do instead of the hosted one.
STEPS = {
    "collect_customer_details": What.DETAILS_COLLECTED,
    "collect_bank_account": What.BANK_ACCOUNT_COLLECTED,
    "select_institution": What.INSTITUTION_SELECTED,
    "confirm_payer_details": What.DETAILS_CONFIRMED,
    "cancel": What.CANCELLED,
    "fulfil": What.FULFILLED,
    "fallback": What.FELL_BACK,
}


class Creation(Struct):
    """The envelope of a new billing request."""

    billing_requests: Asked


class FlowLinks(Struct):
    """Which billing request a flow is for."""

    billing_request: Text


class AskedFlow(Struct):
    """A new flow."""

    links: FlowLinks
    redirect_uri: str | None = None
    exit_uri: str | None = None


class FlowCreation(Struct):
    """The envelope of a new flow."""

    billing_request_flows: AskedFlow


class ActionData(Struct):
    """What an action may bring along that we look at."""

    metadata: Metadata = {}
    country_code: str | None = None
    institution: str | None = None
    notification_type: str | None = None


class Action(Struct):
    """The envelope of an action."""

    data: ActionData = msgspec.field(default_factory=ActionData)


async def create_billing_request(visit: Visit) -> Response:
    asked = (await _body(visit, Creation)).billing_requests
    key = _unused_key(visit, "billing_requests")
    try:
        check(asked, creditor_id=visit.account.settings.creditor_id)
    except Wrong as error:
        raise invalid(error.field_name, error.message, error.pointer) from error
    request = visit.account.create(asked, at=visit.now)
    _remember(visit, key, request.id)
    visit.world.sender.tell(visit.account, request)
    return json_answer({"billing_requests": shown_billing(visit, request)}, 201)


async def create_flow(visit: Visit) -> Response:
    """Make a hosted page; what a payer does there is a story's business."""
    asked = (await _body(visit, FlowCreation)).billing_request_flows
    key = _unused_key(visit, "billing_request_flows")
    request = visit.account.billing_requests.find(asked.links.billing_request)
    if request is None:
        pointer = "/billing_request_flows/links/billing_request"
        raise invalid("billing_request", "does not exist", pointer)
    created = happen(request, What.FLOW_CREATED, at=visit.now)
    if created is None:
        raise wrong_state("Billing request is finished")
    _remember(visit, key, flow_of(request, created))
    visit.world.sender.tell(visit.account, request)
    flow = flow_json(
        request,
        created,
        environment=visit.account.settings.environment,
        redirect_uri=asked.redirect_uri,
        exit_uri=asked.exit_uri,
    )
    return json_answer({"billing_request_flows": flow}, 201)


async def act_on_billing_request(visit: Visit) -> Response:
    name = visit.request.path_params["action"]
    request = billing_request_of(visit)
    data = (await _body(visit, Action)).data
    if name == "notify":
        if data.notification_type != "email":
            raise invalid("notification_type", "must be email", "/data/notification_type")
        return json_answer({"billing_requests": shown_billing(visit, request)})
    if name not in STEPS:
        raise bad_usage(404, "path_not_found", "Path not found")
    if name == "select_institution" and not (data.country_code and data.institution):
        field = "institution" if data.country_code else "country_code"
        raise invalid(field, "is required", f"/data/{field}")
    if name == "fallback" and not request.asked.fallback_enabled:
        raise wrong_state("Fallback is not enabled")
    _happens_by_api(visit, request, STEPS[name], data.metadata)
    if name == "fulfil":
        fulfilled(visit, request)
    visit.world.sender.tell(visit.account, request)
    return json_answer({"billing_requests": shown_billing(visit, request)})


async def act_on_payment(visit: Visit) -> Response:
    name = visit.request.path_params["action"]
    request = payment_of(visit)
    data = (await _body(visit, Action)).data
    match name:
        case "cancel":
            if happen(request, What.PAYMENT_CANCELLED, at=visit.now) is None:
                raise wrong_state("Payment cannot be cancelled", "cancellation_failed")
        case "retry":
            _happens_by_api(visit, request, What.RETRIED, data.metadata)
        case _:
            raise bad_usage(404, "path_not_found", "Path not found")
    visit.world.sender.tell(visit.account, request)
    return json_answer({"payments": shown_payment(visit, request)})


async def retry_webhook(visit: Visit) -> Response:
    """Send a webhook again, as it was."""
    webhook = webhook_of(visit)
    visit.world.sender.send(visit.account, webhook.call)
    return json_answer({"webhooks": webhook_json(webhook)})


def fulfilled(visit: Visit, request: BillingRequest) -> None:
    """Let appear what a fulfilled request leaves: a mandate, a payment, or both."""
    if has_mandate(request.asked, request.entries):
        happen(request, What.MANDATE_CREATED, at=visit.now)
    if request.asked.payment_request is not None:
        happen(request, What.CREATED, at=visit.now)


def _happens_by_api(visit: Visit, request: BillingRequest, what: What, metadata: Metadata) -> None:
    entry = happen(request, what, at=visit.now)
    if entry is None:
        raise wrong_state(f"This does not go in the present state: {what.value}")
    visit.account.by_api(entry.id, metadata)


async def _body(visit: Visit, shape: type[T]) -> T:
    """Return the checked body; an action may come without one. Raises ProviderError."""
    body = await visit.request.body()
    content_type = visit.request.headers.get("content-type", "")
    if body and content_type.partition(";")[0].strip() != "application/json":
        raise bad_usage(400, "bad_request", "Content-Type must be application/json")
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except msgspec.DecodeError as error:
        raise bad_usage(400, "bad_request", "Bad request") from error


def _invalid(text: str) -> ProviderError:
    """Return 422 from msgspec's words, which end in the place: - at `$.a.b`."""
    message, _, place = text.partition(" - at `$")
    path = place.rstrip("`").replace("[...]", "").replace(".", "/")
    missing = message.partition("missing required field `")[2].rstrip("`")
    if missing:
        path, message = f"{path}/{missing}", "is required"
    return invalid(path.rpartition("/")[2], message, path)


def _unused_key(visit: Visit, resource: str) -> tuple[str, str] | None:
    """Return the call's idempotency key. Raises ProviderError 409 when it was used before."""
    text = visit.request.headers.get("idempotency-key")
    if text is None:
        return None
    if len(text) > KEY_LENGTH_MAX:
        raise bad_usage(400, "idempotency_key_too_long", "Idempotency key too long")
    made = visit.account.made_by_key.get((resource, text))
    if made is not None:
        raise key_used(made)
    return resource, text


def _remember(visit: Visit, key: tuple[str, str] | None, resource_id: str) -> None:
    if key is not None:
        visit.account.made_by_key[key] = resource_id
