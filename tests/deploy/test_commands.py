"""What deploy/ has started, by whom, and how long it may take to end."""

import re
import tomllib
from pathlib import Path

import pytest

from service.supervise import STOP_SECONDS, Role
from service.web.server import GRACEFUL_SECONDS
from tests.deploy.files import (
    DEPLOY,
    ROLES,
    commands,
    compose,
    dockerfile,
    pods,
    seconds,
    understand,
    units,
)

COMMANDS = list(commands())
HARDENING = re.compile("NoNew|Protect|Private|Capability|Ambient|Restrict|System|UMask")
SERVERS: tuple[Role, ...] = ("web", "worker", "beat")


@pytest.mark.parametrize(
    "arguments", [arguments for _, arguments in COMMANDS], ids=[where for where, _ in COMMANDS]
)
def test_every_command_is_one_that_we_understand(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("secret", "headers", "body"):  # those that `settled verify` is shown with
        Path(name).touch()

    assert understand(arguments).name is not None


def test_every_way_to_deploy_starts_every_role_and_migrates() -> None:
    for parts in (compose(), pods(), units()):
        assert {*ROLES, "migrate"} <= set(parts)


@pytest.mark.parametrize("role", SERVERS)
def test_whoever_stops_a_role_waits_longer_than_the_role_needs(role: Role) -> None:
    needs = max(STOP_SECONDS[role], GRACEFUL_SECONDS if role == "web" else 0.0)

    assert seconds(compose()[role]["stop_grace_period"]) > needs
    assert pods()[role]["terminationGracePeriodSeconds"] > needs
    assert seconds(units()[role]["TimeoutStopSec"]) > needs


def test_nothing_of_ours_runs_as_root() -> None:
    users = re.findall(r"^USER (\S+)$", dockerfile(), re.MULTILINE)

    assert users[-1:] == ["10001:10001"]
    assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods().values())
    assert {unit["User"] for unit in units().values()} == {"settled"}


def test_every_container_and_unit_is_held_as_tightly_as_the_others() -> None:
    contexts = [pod["containers"][0]["securityContext"] for pod in pods().values()]
    held = [{key: unit[key] for key in unit if HARDENING.match(key)} for unit in units().values()]

    assert all(each == contexts[0] for each in contexts)
    assert contexts[0]["readOnlyRootFilesystem"]
    assert all(each == held[0] for each in held)
    assert held[0]["ProtectSystem"] == "strict"


def test_images_are_pinned_and_ours_is_of_this_version() -> None:
    text = (DEPLOY.parent / "pyproject.toml").read_text()
    version = tomllib.loads(text)["project"]["version"]
    kustomization = (DEPLOY / "kubernetes" / "base" / "kustomization.yaml").read_text()
    named = {service["image"] for service in compose().values()}
    bases = set(re.findall(r"^FROM (\S+)", dockerfile(), re.MULTILINE))

    assert all(re.search(r":\d+\.\d+\.?\d*(-|$)", image) for image in named | bases)
    assert f"settled:{version}" in named
    assert f"newTag: {version}\n" in kustomization


def test_the_image_takes_nothing_but_the_result_from_where_it_was_built() -> None:
    final = dockerfile().rpartition("\nFROM ")[2]

    assert re.findall(r"^COPY (.*)$", final, re.MULTILINE) == [
        "--from=build /opt/settled /opt/settled"
    ]
    assert not re.search(r"\b(pip|apt|apt-get|gcc|make)\b", final)
