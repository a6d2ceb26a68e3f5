"""Ends with the right state although webhooks get lost, come twice or overtake each other.

Give `take` every message that is pushed to you, once its signature is verified, and call `pull`
now and then, for example every minute and at every start: `python consumer.py URL KEY`.
"""

import json
import sys
import urllib.request
from urllib.parse import urlencode


class Consumer:
    """Keeps the newest message of every request and order; keep both fields in one transaction."""

    def __init__(self):
        self.newest = {}  # id of a request or an order -> message
        self.cursor = None  # behind the last page that was pulled

    def take(self, message):
        """Take one message, pushed or pulled: what is older or the same again changes nothing."""
        data = message["data"]
        subject = data.get("request_id") or data.get("order_id")
        known = self.newest.get(subject)
        if subject and (known is None or data["sequence"] > known["data"]["sequence"]):
            self.newest[subject] = message

    def pull(self, page_after):
        """Take what was missed; page_after(cursor) asks for the page behind a cursor."""
        while (page := page_after(self.cursor))["data"]:
            for message in page["data"]:
                self.take(message)
            self.cursor = page["next"]


def page_after(cursor, *, url, key):
    """Ask settled for what changed behind cursor; None is the beginning."""
    query = f"?{urlencode({'after': cursor})}" if cursor else ""
    request = urllib.request.Request(  # noqa: S310 - the operator's own URL
        f"{url}/v1/changes{query}", headers={"authorization": f"Bearer {key}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


if __name__ == "__main__":
    consumer = Consumer()
    consumer.pull(lambda cursor: page_after(cursor, url=sys.argv[1], key=sys.argv[2]))
    for message in consumer.newest.values():
        json.dump(message, sys.stdout)
        print()  # noqa: T201 - data goes to stdout
