"""Reads what is in deploy/, and finds in it what our code has to know."""

import configparser
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click
import yaml

from service.cli.main import settled

DEPLOY = Path(__file__).parents[2] / "deploy"
BASE = DEPLOY / "kubernetes" / "base"
ROLES = ("web", "worker", "beat")

FENCE = re.compile(r"^( *)```sh\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
# A command of ours, from the folder where it is installed or not, maybe behind others.
OURS = re.compile(r"(?:^|&& )(?:\S*/)?settled (.*)", re.DOTALL)


@cache
def compose() -> Mapping[str, Any]:
    """Return the services of compose.yaml by name."""
    services: Mapping[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return services


@cache
def manifests() -> Sequence[Mapping[str, Any]]:
    """Return every object of the Kubernetes base but the kustomization itself."""
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [each for name in names for each in yaml.safe_load_all((BASE / name).read_text())]


def pods() -> Mapping[str, Mapping[str, Any]]:
    """Return the specification of each pod, by the name of its container."""
    found = {}
    for manifest in manifests():
        if manifest["kind"] in ("Deployment", "Job"):
            pod = manifest["spec"]["template"]["spec"]
            found[pod["containers"][0]["name"]] = pod
    return found


@cache
def units() -> Mapping[str, Mapping[str, str]]:
    """Return the section [Service] of each unit, by its name without "settled-"."""
    found = {}
    for path in (DEPLOY / "systemd").glob("settled-*.service"):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # as the documentation shows
        parser.read(path)
        found[path.stem.removeprefix("settled-")] = dict(parser["Service"])
    return found


def dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text()


def proxy() -> str:
    """Return the proxy's configuration without its comments."""
    return re.sub(r"#.*", "", (DEPLOY / "nginx.conf").read_text())


def seconds(text: str) -> float:
    """Return a time such as 15s as a number."""
    assert text.endswith("s")
    return float(text.removesuffix("s"))


def commands() -> Iterator[tuple[str, Sequence[str]]]:
    """Return every command of ours that these files name: where it stands, and its arguments."""
    for name, service in compose().items():
        if service.get("image", "").startswith("settled:"):
            yield f"compose {name}", service["command"]
    for name, pod in pods().items():
        yield f"kubernetes {name}", pod["containers"][0]["args"]
    for name, unit in units().items():
        yield f"systemd {name}", shlex.split(unit["ExecStart"])[1:]
    for line in re.findall(r'CMD \["settled", (.*)\]', dockerfile()):
        yield "image healthcheck", [each.strip('" ') for each in line.split(",")]
    for page in pages():
        for line in lines(page):
            for ours in OURS.findall(line):
                yield page.name, shlex.split(ours, comments=True)


def pages() -> Sequence[Path]:
    """Return every page of Markdown: those beside the code, and all below deploy/."""
    return sorted([*DEPLOY.parent.glob("*.md"), *DEPLOY.rglob("*.md")])


def lines(page: Path) -> Iterator[str]:
    """Return every command of a page's shell blocks; one may go on over several lines."""
    for _, block in FENCE.findall(page.read_text()):
        joined = textwrap.dedent(block).replace("\\\n", " ")
        yield from filter(None, map(str.strip, re.split(r"^(?=\S)", joined, flags=re.MULTILINE)))


def understand(arguments: Sequence[str]) -> click.Command:
    """Return the verb that a command line reaches. Raises UsageError where it would be refused."""
    command: click.Command = settled
    rest = list(arguments)
    with click.Context(settled) as context:
        while isinstance(command, click.Group):
            _, found, rest = command.resolve_command(context, rest)
            assert found is not None
            command = found
        command.make_context("settled", rest, resilient_parsing=False).close()
    return command
