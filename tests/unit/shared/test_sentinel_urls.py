"""URLs of a primary behind Sentinels, and of a cluster."""

from ssl import CERT_REQUIRED

import pytest
from certifi import where
from pydantic import SecretStr, ValidationError

from shared.settings import SharedSettings
from shared.store.client import connect, sentinels_of, tag_of_client
from shared.store.preflight import too_old
from shared.store.redis_url import read_redis_url
from shared.store.slots import tag_of

URL = "redis+sentinel://me:s%40cret@a:1,b,[::1]:2/jobs/3?sentinel_username=he&sentinel_password=hunter2"


def test_a_url_names_sentinels_service_user_and_database() -> None:
    found = read_redis_url(URL)
    assert found.sentinels == (("a", 1), ("b", 26379), ("::1", 2))
    assert (found.service, found.sentinel_user, found.sentinel_password) == ("jobs", "he", "hunter2")
    options = connect(URL).connection_pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("me", "s@cret", 3)
    assert sentinels_of(connect(URL)) is not None
    assert sentinels_of(connect("redis://a/0")) is None


def test_tls_is_for_servers_and_sentinels() -> None:
    pool = connect("rediss+sentinel://a/jobs?ssl_check_hostname=false&ssl_cert_reqs=none").connection_pool
    assert read_redis_url("rediss+sentinel://a/jobs").tls
    assert pool.make_connection().ssl_context is not None


def test_a_url_names_nodes_of_a_cluster_and_the_user() -> None:
    url = "redis+cluster://me:s%40cret@a:1,b,[::1]:2"
    assert read_redis_url(url).nodes == (("a", 1), ("b", 6379), ("::1", 2))
    options = connect(url).connection_pool.connection_kwargs
    assert (options["username"], options["password"]) == ("me", "s@cret")
    assert options["topology"].options["password"] == "s@cret"  # each node asks for it
    assert tag_of_client(connect(url, shard=3)) == tag_of(3)
    assert tag_of_client(connect("redis://a/0")) == ""


def test_a_url_of_a_cluster_with_tls_uses_it_for_shards_and_for_questions_about_them() -> None:
    ca = where()
    pool = connect(f"rediss+cluster://me:s%40cret@a:1,b?ssl_ca_certs={ca}", shard=2).connection_pool
    topology = pool.connection_kwargs["topology"]
    asking = topology.connection_class(host="a", port=1, **topology.options)
    for connection in (pool.make_connection(), asking):
        tls = connection.ssl_context
        assert (tls.ca_certs, tls.cert_reqs, tls.check_hostname) == (ca, CERT_REQUIRED, True)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+cluster://hunter2@a:1,b/1", "the database 0 alone"),
        ("redis+cluster://hunter2@a?db=1", "the database 0 alone"),
        ("redis+cluster://hunter2@a,,b", "a node without a host"),
        ("redis+cluster://hunter2@a:port", "a node without a host"),
        ("redis+cluster://a?ssl_ciphers=HIGH", "may have no options but"),
        ("redis+cluster://a?sentinel_password=hunter2", "may have no options but"),
        ("redis+sentinel://hunter2@a", "must name the service"),
        ("redis+sentinel://hunter2@a/", "must name the service"),
        ("redis+sentinel://hunter2@/jobs", "a Sentinel without a host"),
        ("redis+sentinel://hunter2@a,,b/jobs", "a Sentinel without a host"),
        ("redis+sentinel://hunter2@a:port/jobs", "a Sentinel without a host"),
        ("redis+sentinel://a/jobs/zero", "must be like"),
        ("redis+sentinel://a/jobs?ssl_ciphers=HIGH", "may have no options but"),
        ("redis+sentinel://a/jobs?socket_timeout=1", "sentinel_password"),
        ("redis://a?sentinel_password=hunter2", "may have no options but"),
        ("redis://:hunter2@a,b/0", "names several hosts"),
        ("redis+sentinels://a/jobs", "must be like"),
    ],
)
def test_each_wrong_url_has_a_line_of_its_own_without_a_password(url: str, words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        SharedSettings(redis_url=SecretStr(url))
    [error] = raised.value.errors()
    assert words in error["msg"]
    assert "\n" not in error["msg"]
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ({"redis_version": "6.2.14"}, "Redis 6.2.14"),
        ({"redis_version": "7.0.0"}, None),
        ({"redis_version": "8.2.3"}, None),
        ({"server_name": "valkey", "redis_version": "7.2.4", "valkey_version": "7.2.8"}, "Valkey 7.2.8"),
        ({"server_name": "valkey", "redis_version": "7.2.4", "valkey_version": "8.1.0"}, None),
        ({}, None),
    ],
)
def test_old_servers_are_not_supported(server: dict[str, str], name: str | None) -> None:
    assert too_old(server) == name
