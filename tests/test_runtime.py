"""Where our own servers are: no endpoint may lead there."""

from ipaddress import ip_address

import pytest

from service.runtime import Urls, server_addresses


@pytest.mark.parametrize(
    ("postgres", "redis", "found"),
    [
        ("postgresql://127.0.0.1:5432/settled", "redis://[::1]:6379", ["127.0.0.1", "::1"]),
        ("postgresql://me:secret@10.0.0.7,10.0.0.8/x", "redis://:x@10.0.0.9", [7, 8, 9]),
        ("postgresql:///settled?host=/run/postgresql", "unix:///run/redis.sock", []),
        ("postgresql://nowhere.invalid/x", "rediss://10.0.0.9:6380/1", [9]),
    ],
)
async def test_the_addresses_of_our_servers_are_known(
    postgres: str, redis: str, found: list[str | int]
) -> None:
    texts = [one if isinstance(one, str) else f"10.0.0.{one}" for one in found]

    assert await server_addresses(Urls(postgres, redis)) == set(map(ip_address, texts))
