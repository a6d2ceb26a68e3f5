"""Every target by its name."""

from collections.abc import Mapping

from tests.fuzz import api, configuration, erp, evidence, http, providers, values
from tests.fuzz.target import Target

TARGETS: Mapping[str, Target] = {
    **dict(providers.targets()),
    **values.targets(),
    **erp.targets(),
    **evidence.targets(),
    **http.targets(),
    **api.targets(),
    **configuration.targets(),
}
