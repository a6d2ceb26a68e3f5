"""Addresses, limits, names and variables in deploy/, against the code that they are about."""

import re
import tomllib

import yaml

from service.registry import PROVIDERS
from service.settings import Settings, parse
from service.storage.database import Pool
from service.storage.views.gauges import read_gauges
from service.web.api.routing import BODY_BYTES_MAX
from service.web.health import DATABASE_SECONDS_MAX, ROUTES
from service.web.server import KEEP_ALIVE_SECONDS
from service.web.webhooks import ANSWER_SECONDS_MAX
from tests.deploy.files import BASE, DEPLOY, ROLES, compose, dockerfile, manifests, pods, proxy

CONFIGURATION = (BASE / "servers.toml").read_text()
UNITS = {"k": 1024, "m": 1024 * 1024}


def named_variables() -> set[str]:
    return set(re.findall(r'_env = "(\w+)"', CONFIGURATION))


def configured() -> Settings:
    environ = dict.fromkeys(named_variables(), "x" * 32) | {
        "SETTLED_DATABASE_URL": "postgresql://settled@postgres/settled",
        "SETTLED_REDIS_URL": "redis://redis/0",
    }
    return parse(tomllib.loads(CONFIGURATION), source="servers.toml", environ=environ, base=BASE)


def annotations_of(role: str) -> dict[str, str]:
    """Return the annotations of a role's pods."""
    (found,) = (
        each["spec"]["template"]["metadata"]["annotations"]
        for each in manifests()
        if each["kind"] == "Deployment" and each["metadata"]["name"] == f"settled-{role}"
    )
    return dict(found)


def kustomization() -> dict[str, str]:
    return dict(yaml.safe_load((BASE / "kustomization.yaml").read_text()))


def test_the_configuration_of_containers_uses_no_embedded_server() -> None:
    settings = configured()

    assert not settings.database.embedded
    assert not settings.redis.embedded


def test_what_is_set_is_what_the_configuration_reads() -> None:
    secret = yaml.safe_load((DEPLOY / "kubernetes" / "secret.example.yaml").read_text())

    assert set(secret["stringData"]) == named_variables()
    for role in ("web", "worker", "beat", "migrate"):
        assert set(compose()[role]["environment"]) == named_variables()
        assert pods()[role]["containers"][0]["envFrom"] == [
            {"secretRef": {"name": secret["metadata"]["name"]}}
        ]


def test_the_example_configuration_names_the_same_servers() -> None:
    example = (DEPLOY / "settled.example.toml").read_text()

    assert all(name in example for name in named_variables())


def test_everybody_means_the_same_port() -> None:
    port = configured().settled.port
    published = compose()["web"]["ports"][0].split(":")

    assert re.findall(r"^EXPOSE (\d+)", dockerfile(), re.MULTILINE) == [str(port)]
    assert pods()["web"]["containers"][0]["ports"][0]["containerPort"] == port
    assert published[2] == str(port)
    assert re.findall(r"server 127.0.0.1:(\d+)", proxy()) == published[1].split("-")


def test_the_counters_of_every_role_are_told_where_prometheus_asks() -> None:
    by_name, by_pod = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]
    asked = {
        name: str(found["port"]) for found in by_name["dns_sd_configs"] for name in found["names"]
    }
    (namespaces,) = (found["namespaces"]["names"] for found in by_pod["kubernetes_sd_configs"])

    assert set(asked) == set(ROLES)
    assert asked["web"] == str(configured().settled.port)
    for role in ("worker", "beat"):
        command, pod = compose()[role]["command"], pods()[role]["containers"][0]
        assert command[-2:] == pod["args"][-2:] == ["--metrics", f"0.0.0.0:{asked[role]}"]
        assert compose()[role]["expose"] == [asked[role]]
        assert "ports" not in compose()[role]
    for role in ROLES:
        (port,) = pods()[role]["containers"][0]["ports"]
        assert str(port["containerPort"]) == asked[role]
        assert annotations_of(role)["prometheus.io/port"] == asked[role]
        assert annotations_of(role)["prometheus.io/scrape"] == "true"
    assert namespaces == [kustomization()["namespace"]]


def test_probes_ask_what_we_answer_and_wait_as_long_as_we_may_take() -> None:
    web = pods()["web"]["containers"][0]
    probes = {name: web[f"{name}Probe"] for name in ("startup", "readiness", "liveness")}
    paths = {route.path for route in ROUTES}

    assert {probe["httpGet"]["path"] for probe in probes.values()} <= paths
    assert probes["startup"]["httpGet"]["path"] == "/readyz"
    assert probes["startup"]["timeoutSeconds"] > DATABASE_SECONDS_MAX


def test_without_redis_no_receiver_is_taken_away() -> None:
    web = pods()["web"]["containers"][0]

    assert web["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert web["livenessProbe"]["httpGet"]["path"] == "/healthz"


async def test_the_autoscaler_asks_for_metrics_that_there_are(pool: Pool) -> None:
    (autoscaler,) = (each for each in manifests() if each["kind"] == "HorizontalPodAutoscaler")
    asked = {each["external"]["metric"]["name"] for each in autoscaler["spec"]["metrics"]}
    adapter = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus-adapter.yaml").read_text())
    told = {gauge.name for gauge in await read_gauges(pool)}

    assert asked == {rule["seriesQuery"] for rule in adapter["rules"]["external"]}
    assert asked <= told


def test_the_proxy_lets_through_exactly_what_we_take() -> None:
    limits = re.findall(r"client_max_body_size (\d+)([km]);", proxy())
    api, webhooks = (int(number) * UNITS[unit] for number, unit in limits)
    longest = max(vars(each.make)["body_bytes_max"] for each in PROVIDERS.values())

    assert api == BODY_BYTES_MAX
    assert webhooks == longest


def test_the_proxy_outwaits_a_receiver_but_not_the_least_patient_provider() -> None:
    ((location),) = re.findall(r"location /webhooks/ \{(.*?)\}", proxy(), re.DOTALL)
    (waits,) = re.findall(r"proxy_read_timeout (\d+)s", location)

    assert ANSWER_SECONDS_MAX < int(waits) <= 4  # Ginger's patience. Source: CONTRACT, section 4


def test_the_proxy_lets_go_of_idle_connections_before_we_do() -> None:
    (kept,) = re.findall(r"keepalive_timeout (\d+)s", proxy())

    assert int(kept) < KEEP_ALIVE_SECONDS


def test_the_proxy_keeps_to_itself_what_only_machines_nearby_ask() -> None:
    (closed,) = re.findall(r"location ~ \^/\(([\w|]+)\)\$", proxy())

    assert {f"/{name}" for name in closed.split("|")} == {route.path for route in ROUTES}
