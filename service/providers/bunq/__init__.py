"""bunq: request inquiries, which ask a payer for money, and the payments that give it back.

Webhook   documented without a signature, names what changed: a hint, whatever else it says
API       GET .../request-inquiry/{id} and .../payment, session token, decimal text
Session   installation, device and session: opened once for all workers, one step at a time
List      GET .../request-inquiry, newest first; changed old items are found by walking only
Source    fact sheet bunq, sections 1 (handshake), 2 (status), 3 (signatures), 4 (callbacks),
          6 (pages), 8 (statuses), 9 (limits)
"""

from service.providers.bunq.adapter import Bunq
from service.providers.bunq.keys import BunqKeys

__all__ = ["Bunq", "BunqKeys"]
