"""GoCardless's API as routes. Source: fact sheet gocardless, section 2."""

from starlette.routing import Route

from service.sandbox.gocardless import acting, reading
from service.sandbox.gocardless.doors import Serve, door
from service.sandbox.gocardless.simulators import run_simulator


def _read(path: str, serve: Serve, kind: str) -> Route:
    return Route(path, door(serve, kind), methods=["GET"])


def _post(path: str, serve: Serve) -> Route:
    return Route(path, door(serve), methods=["POST"])


ROUTES = [
    _post("/billing_requests", acting.create_billing_request),
    _read("/billing_requests", reading.list_billing_requests, "billing_requests"),
    _read("/billing_requests/{id}", reading.get_billing_request, "billing_request"),
    _post("/billing_requests/{id}/actions/{action}", acting.act_on_billing_request),
    _post("/billing_request_flows", acting.create_flow),
    _read("/payments", reading.list_payments, "payments"),
    _read("/payments/{id}", reading.get_payment, "payment"),
    _post("/payments/{id}/actions/{action}", acting.act_on_payment),
    _read("/events", reading.list_events, "events"),
    _read("/events/{id}", reading.get_event, "event"),
    _read("/webhooks", reading.list_webhooks, "webhooks"),
    _read("/webhooks/{id}", reading.get_webhook, "webhook"),
    _post("/webhooks/{id}/actions/retry", acting.retry_webhook),
    _post("/scenario_simulators/{name}/actions/run", run_simulator),
]
