"""Every target by its name."""

from collections.abc import Mapping

from tests.fuzz import api, configuration, http, providers, values
from tests.fuzz.target import Target

TARGETS: Mapping[str, Target] = {
    **dict(providers.targets()),
    **values.targets(),
    **http.targets(),
    **api.targets(),
    **configuration.targets(),
}
