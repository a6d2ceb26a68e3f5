"""An emptied database for tests that need no fresh one."""

from tests.emptied import emptied as emptied
from tests.emptied import shared_url as shared_url
