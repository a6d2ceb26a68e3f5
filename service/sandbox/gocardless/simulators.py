"""GoCardless's scenario simulators. Source: fact sheet gocardless, section 12."""

import msgspec
from msgspec import Struct
from starlette.responses import Response

from service.sandbox.gocardless.creation import BillingRequest, Text
from service.sandbox.gocardless.doors import Visit
from service.sandbox.gocardless.errors import bad_usage, not_found, wrong_state
from service.sandbox.gocardless.happenings import What
from service.sandbox.gocardless.moves import happen
from service.sandbox.gocardless.words import billing_word, open_actions, payment_word
from service.sandbox.provider_http import json_answer

FULFILLED = (What.BANK_VISITED, What.BANK_AUTHORISED, What.FULFILLED, What.CREATED)
SUBMITTED = (What.SUBMITTED,)
CONFIRMED = (*SUBMITTED, What.CONFIRMED)
PAID_OUT = (*CONFIRMED, What.PAID_OUT, What.PAYOUT_PAID)
LATE_FAILURE = (*PAID_OUT, What.FAILED)

ON_BILLING_REQUESTS = {
    "billing_request_fulfilled": FULFILLED,
    "billing_request_fulfilled_and_payment_failed": (*FULFILLED, *SUBMITTED, What.FAILED),
    "billing_request_fulfilled_and_payment_confirmed_to_failed": (
        *FULFILLED,
        *CONFIRMED,
        What.FAILED,
    ),
    "billing_request_fulfilled_and_payment_paid_out": (*FULFILLED, *PAID_OUT),
}
ON_PAYMENTS = {
    "payment_submitted": SUBMITTED,
    "payment_confirmed": CONFIRMED,
    "payment_paid_out": PAID_OUT,
    "payment_failed": (*SUBMITTED, What.FAILED),
    "payment_charged_back": (*CONFIRMED, What.CHARGED_BACK),
    "payment_chargeback_settled": (*CONFIRMED, What.CHARGED_BACK, What.CHARGEBACK_SETTLED),
    "payment_late_failure": LATE_FAILURE,
    "payment_late_failure_settled": (*LATE_FAILURE, What.LATE_FAILURE_SETTLED),
}
ALSO_FROM_PAID_OUT = ("payment_late_failure", "payment_late_failure_settled")


class Links(Struct):
    """What a simulation is run on."""

    resource: Text


class Data(Struct):
    """A simulation."""

    links: Links


class Simulation(Struct):
    """The envelope of a simulation."""

    data: Data


async def run_simulator(visit: Visit) -> Response:
    """Let a whole scenario happen at once. The answer's form is assumed."""
    name = visit.request.path_params["name"]
    try:
        simulation = msgspec.json.decode(await visit.request.body(), type=Simulation)
    except msgspec.DecodeError as error:
        raise bad_usage(400, "bad_request", "Bad request") from error
    resource_id = simulation.data.links.resource
    request = _prepared(visit, name, resource_id)
    for what in ON_BILLING_REQUESTS.get(name) or ON_PAYMENTS[name]:
        happen(request, what, at=visit.now)
    visit.world.sender.tell(visit.account, request)
    return json_answer({"scenario_simulators": {"id": name}})


def _prepared(visit: Visit, name: str, resource_id: str) -> BillingRequest:
    """Return the request in the state that the scenario starts from. Raises ProviderError."""
    account = visit.account
    if account.settings.environment != "sandbox":
        raise bad_usage(403, "forbidden", "Simulators are for the sandbox")
    if name in ON_BILLING_REQUESTS:
        request = account.billing_requests.find(resource_id)
        is_ready = request is not None and (
            request.asked.payment_request is not None
            and billing_word(request.entries) == "pending"
            and open_actions(request.entries) == {"bank_authorisation"}
        )
    elif name in ON_PAYMENTS:
        request = account.payments.find(resource_id)
        starts = {"pending_submission", *(["paid_out"] if name in ALSO_FROM_PAID_OUT else [])}
        is_ready = request is not None and payment_word(request.entries) in starts
    else:
        raise not_found()
    if request is None:
        raise not_found()
    if not is_ready:
        raise wrong_state("The resource is not in the state that the scenario starts from")
    return request
