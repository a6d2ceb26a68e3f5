"""kind = "recipe": follows the steps of a recipe at an ERP, one HTTP call each.

Safe to follow twice: the first step finds out what the ERP has, and the rest is left out where
that is what it should have. All calls go over the wire of the endpoint, with its checks of
addresses, and no step begins once the endpoint's time-out is over.
"""

import base64
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final
from urllib.parse import quote, urlencode

import httpx
import msgspec

from service.domain.lane import Result
from service.erp.outcome import Notification, Outcome, milliseconds_since
from service.erp.placeholder import (
    Missing,
    Unfit,
    filled,
    filled_path,
    filled_texts,
    number_in,
)
from service.erp.recipe import ROOTS, Condition, Recipe, Step, fits_header
from service.erp.webhook import ANSWER_BYTES_MAX, excerpt_of, judge
from service.errors import AddressRefused, Unavailable, Unreadable
from service.settings import Endpoint, Secret
from service.wire import Wire

# An ERP's numbers stay what they are: an amount is never a float.
_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)
_encoder: Final = msgspec.json.Encoder(decimal_format="number")

# Longer ones are refused by many servers. Source: RFC 9110, section 4.1.
URL_CHARACTERS_MAX: Final = 8000

# What a placeholder that leads nowhere comes to in a condition.
MISSING: Final = object()

# What a placeholder may lead to; grows by the answer of every step.
Values = dict[str, object]


class RecipeOutlet:
    """One ERP that is told by a recipe."""

    def __init__(self, recipe: Recipe, endpoint: Endpoint, wire: Wire) -> None:
        self._recipe = recipe
        self._endpoint = endpoint
        self._wire = wire

    async def take(
        self, notifications: Sequence[Notification], *, at: datetime, timeout_seconds: float
    ) -> Outcome:
        """Follow the steps for one notification.

        An answer that is not as expected is tried again or a dead letter, as the recipe says; an
        HTTP status counts as it does for a webhook.
        """
        [notification] = notifications
        calls = _Calls(
            self._wire, at=at, timeout_seconds=timeout_seconds, confided=self._confided()
        )
        try:
            values = self._values_of(notification, calls)
            for step in self._recipe.steps:
                values[step.name] = await calls.send(self._request(step, values, calls))
                self._look(step, values, calls)
        except _Ended as ended:
            return ended.outcome
        return calls.ended("delivered", "done").outcome

    async def aclose(self) -> None:
        """Keeps nothing open: the wire is others' too."""

    def _values_of(self, notification: Notification, calls: "_Calls") -> Values:
        """Return what placeholders may lead to. Raises _Ended where there is nothing to do."""
        if not self._recipe.concerns(notification.type):
            raise calls.ended("delivered", "not_concerned")
        body = json.loads(notification.body)
        wanted = self._recipe.wanted_at(body["data"].get("status"), self._endpoint.book_at)
        if wanted is None:
            raise calls.ended("delivered", "nothing_to_do")
        values: Values = {
            **{root: body[root] for root in ("id", "type", "timestamp", "data")},
            "parameters": dict(self._endpoint.parameters),
            "user": self._endpoint.user,
            "password": _revealed(self._endpoint.password),
            "token": _revealed(self._endpoint.token),
        }
        try:
            values["wanted"] = filled(dict(wanted.values), values)
        except Missing:
            raise calls.ended("dead", "value_missing") from None
        return values

    def _request(self, step: Step, values: Values, calls: "_Calls") -> httpx.Request:
        """Return the call of a step. Raises _Ended where a value is missing or does not fit."""
        try:
            url = (self._endpoint.url or "").rstrip("/") + filled_path(step.path, values)
            if step.query:
                url += "?" + urlencode(filled_texts(step.query, values), quote_via=quote)
            headers = {"content-type": "application/json", **self._credentials()}
            headers |= filled_texts(step.headers, values)
            if len(url) > URL_CHARACTERS_MAX or not all(map(fits_header, headers.values())):
                raise Unfit(step.name)
            body = b"" if step.body is None else _encoder.encode(filled(step.body, values))
        except Missing as missing:
            if missing.root in ROOTS:
                raise calls.ended("dead", "value_missing") from None
            raise calls.ended("retry", "answer_unexpected") from None
        except Unfit:
            raise calls.ended("dead", "value_refused") from None
        return httpx.Request(step.method, url, headers=headers, content=body)

    def _look(self, step: Step, values: Values, calls: "_Calls") -> None:
        """Judge a step's answer. Raises _Ended where it is not as expected, or says enough."""
        for condition in step.expect:
            if not _holds(condition, values):
                raise calls.ended(condition.otherwise, condition.code)
        if step.done_if and all(_holds(condition, values) for condition in step.done_if):
            raise calls.ended("delivered", "already_done")

    def _confided(self) -> list[str]:
        """Return what we send in confidence, the longest first: one may be a part of another."""
        secrets = [self._endpoint.password, self._endpoint.token]
        sent = {secret.reveal() for secret in secrets if secret}
        sent |= {text.rpartition(" ")[2] for text in self._credentials().values()} - {""}
        return sorted(sent, key=len, reverse=True)

    def _credentials(self) -> dict[str, str]:
        token = _revealed(self._endpoint.token) or ""
        match self._recipe.authenticate:
            case "basic":
                pair = f"{self._endpoint.user}:{_revealed(self._endpoint.password)}"
                return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
            case "bearer":
                return {"authorization": f"Bearer {token}"}
            case "header":
                return {self._recipe.header or "": token}
            case "nothing":
                return {}


class _Ended(Exception):
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


class _Calls:
    """The calls of one attempt: together they have the endpoint's time-out.

    confided is what no outcome shows, should the ERP repeat it.
    """

    def __init__(
        self, wire: Wire, *, at: datetime, timeout_seconds: float, confided: Sequence[str]
    ) -> None:
        self._wire = wire
        self._confided = confided
        self._at = at
        self._started = time.monotonic()
        self._timeout_seconds = timeout_seconds
        self._last: httpx.Response | None = None

    def ended(self, result: Result, code: str) -> _Ended:
        """Return the end to raise, with what the ERP answered last."""
        return _Ended(
            Outcome(
                result,
                code,
                self._last.status_code if self._last else None,
                milliseconds_since(self._started),
                self._excerpt(),
                None,
            )
        )

    async def send(self, request: httpx.Request) -> object:
        """Make one call and return its JSON answer, None where it has no body. Raises _Ended."""
        left_seconds = self._started + self._timeout_seconds - time.monotonic()
        self._last = None
        try:
            self._last = await self._wire.send(
                request, total_seconds=max(left_seconds, 0.0), body_bytes_max=ANSWER_BYTES_MAX
            )
        except Unavailable as error:
            raise self.ended("retry", error.detail) from error
        except Unreadable as error:
            raise self.ended("retry", "answer_unreadable") from error
        except AddressRefused as error:
            raise self.ended("hold", error.code) from error
        duration_ms = milliseconds_since(self._started)
        judged = judge(self._last, duration_ms=duration_ms, now=self._at)
        if judged.result != "delivered":
            raise _Ended(replace(judged, excerpt=self._excerpt()))
        try:
            return _decoder.decode(self._last.content or b"null")
        except (msgspec.DecodeError, UnicodeError, InvalidOperation, RecursionError) as error:
            raise self.ended("retry", "answer_unreadable") from error

    def _excerpt(self) -> str:
        """Return the start of the last answer without what we sent in confidence.

        It is masked before the answer is cut, for half a key is one too, and again behind that:
        what does not print is left out, which may put the parts of a key together.
        """
        content = self._last.content if self._last else b""
        for text in self._confided:
            for spelled in (text, json.dumps(text)[1:-1]):
                content = content.replace(spelled.encode(), b"***")
        excerpt = excerpt_of(content)
        for text in self._confided:
            excerpt = excerpt.replace(text, "***")
        return excerpt


def _holds(condition: Condition, values: Values) -> bool:
    """Return whether a condition holds; of what is missing nothing holds but that it is."""
    if condition.statuses is not None and _at("{data.status}", values) not in condition.statuses:
        return True
    found = _at(condition.value, values)
    if condition.exists is not None:
        return condition.exists == (found is not MISSING)
    if condition.numbers is not None:
        amounts = {number_in(_at(number, values)) for number in condition.numbers} - {None}
        return number_in(found) in amounts
    choices = condition.among if condition.among is not None else (condition.equals,)
    return found is not MISSING and any(_is_same(found, _at(each, values)) for each in choices)


def _at(template: object, values: Values) -> object:
    """Return what a template of a condition comes to, MISSING where it leads nowhere."""
    try:
        return filled(template, values)
    except Missing:
        return MISSING


def _is_same(one: object, other: object) -> bool:
    """Return whether two JSON values are the same; true is no 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _revealed(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None
