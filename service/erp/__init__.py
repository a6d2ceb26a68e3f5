"""All traffic to the ERP: one module for each kind of endpoint.

Whatever the kind, an attempt comes to an Outcome; lanes, order, retries and dead letters are the
same road for all of them and stand in `flow/deliver.py`.
"""

from service.erp.outcome import Notification, Outcome, Outlet
from service.erp.outlets import outlets_of, recipes_of
from service.erp.webhook import Door, Message, excerpt_of, post, result_of

__all__ = [
    "Door",
    "Message",
    "Notification",
    "Outcome",
    "Outlet",
    "excerpt_of",
    "outlets_of",
    "post",
    "recipes_of",
    "result_of",
]
