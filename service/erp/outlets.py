"""Makes the outlets of the endpoints that are no webhooks, each checked as far as a start can."""

from collections.abc import Mapping
from pathlib import Path

from service.erp.file import FileOutlet
from service.erp.outcome import Outlet
from service.erp.recipe import Recipe, load_recipe
from service.erp.steps import RecipeOutlet
from service.erp.stream import StreamOutlet
from service.settings import Settings
from service.settings.place import Place
from service.wire import Wire


def outlets_of(
    settings: Settings, *, wires: Mapping[bool, Wire], redis_url: str
) -> dict[str, Outlet]:
    """Return the outlet of every endpoint that has one; nothing is connected to yet.

    wires are by allow_private; redis_url is for streams that name no server of their own. Raises
    Misconfigured for a recipe that cannot be followed.
    """
    recipes = recipes_of(settings)
    outlets: dict[str, Outlet] = {}
    for endpoint in settings.endpoints:
        match endpoint.kind:
            case "webhook":
                continue
            case "recipe":
                outlets[endpoint.name] = RecipeOutlet(
                    recipes[endpoint.name], endpoint, wires[endpoint.allow_private]
                )
            case "file":
                assert endpoint.folder is not None, "the settings checked it"
                outlets[endpoint.name] = FileOutlet(
                    endpoint.name, endpoint.folder, endpoint.format or "jsonl"
                )
            case "stream":
                assert endpoint.stream is not None, "the settings checked it"
                outlets[endpoint.name] = StreamOutlet(
                    url=endpoint.redis_url.reveal() if endpoint.redis_url else redis_url,
                    stream=endpoint.stream,
                    max_length=endpoint.max_length,
                )
    return outlets


def recipes_of(settings: Settings) -> dict[str, Recipe]:
    """Read the recipe of every endpoint that follows one. Raises Misconfigured."""
    folder = Path(settings.source).absolute().parent
    place = Place(settings.source, folder).key("endpoint")
    return {
        endpoint.name: load_recipe(endpoint, folder=folder, place=place.item(index))
        for index, endpoint in enumerate(settings.endpoints)
        if endpoint.kind == "recipe"
    }
