"""Options in REDIS_URL, after its question mark."""

import pytest
from certifi import where
from pydantic import SecretStr, ValidationError

from shared.settings import SharedSettings
from shared.store.client import connect
from shared.store.redis_url import REDIS_OPTIONS, TLS_OPTIONS


@pytest.mark.parametrize(
    "option",
    [
        "decode_responses=true",
        "protocol=3",
        "encoding=latin-1",
        "encoding_errors=ignore",
        "parser_class=x",
        "encoder_class=x",
        "retry=x",
        "retry_on_timeout=true",
        "retry_on_error=x",
        "single_connection_client=true",
        "max_connections=1",
        "timeout=1",
        "socket_timeout=0.001",
        "socket_connect_timeout=0",
        "socket_read_size=1",
        "socket_type=5",
        "health_check_interval=-1",
        "client_name=a%20b",
        "lib_name=a%20b",
        "host=elsewhere",
        "credential_provider=x",
        "redis_connect_func=x",
        "ssl_min_version=2",
        "db=1&nonsense=",
    ],
)
@pytest.mark.parametrize("scheme", ["redis://redis/0", "rediss://redis/0", "unix:///run/redis.sock"])
def test_an_option_that_is_not_safe_is_refused_and_the_safe_ones_are_named(scheme: str, option: str):
    refused = refusal(f"{scheme}?{option}")
    assert all(name in refused for name in (*REDIS_OPTIONS, *TLS_OPTIONS))
    assert "remove the others" in refused


@pytest.mark.parametrize("url", ["redis://redis/0?db=-1", "rediss://redis?ssl_cert_reqs=some"])
def test_a_value_that_an_option_can_not_have_is_refused(url: str):
    assert "must be like redis://" in refusal(url)


@pytest.mark.parametrize(
    "option",
    [
        "ssl_ca_certs=/no/such/file.pem",
        "ssl_certfile=/no/such/file.pem&ssl_keyfile=/no/such/file.pem",
        "ssl_ciphers=nonsense",
        "ssl_ca_data=nonsense",
        "ssl_cert_reqs=none",
    ],
)
def test_options_with_which_tls_could_never_begin_are_refused(option: str):
    assert "its ssl_ options do not work" in refusal(f"rediss://redis/0?{option}")


def test_an_option_of_tls_is_refused_without_tls():
    assert "with rediss://" in refusal("redis://redis/0?ssl_ca_certs=/ca.pem")


def test_a_refusal_shows_no_part_of_a_password_with_a_question_mark():
    refused = refusal("redis://:0?hunter=2@redis/0")
    assert "percent-encode" in refused
    assert "hunter" not in refused


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis?db=3&username=me&password=secret",
        "unix:///run/redis.sock?db=3&username=me&password=secret",
        "rediss://redis/3?username=me&password=secret&ssl_ciphers=HIGH&ssl_check_hostname=false&ssl_cert_reqs=none",
    ],
)
def test_the_options_that_are_named_reach_the_client(url: str):
    given = accepted_options(url)
    assert (given["db"], given["username"], given["password"]) == (3, "me", "secret")
    if url.startswith("rediss"):
        assert (given["ssl_ciphers"], given["ssl_check_hostname"]) == ("HIGH", False)


def test_a_file_of_certificates_reaches_the_client():
    bundle = where()
    assert accepted_options(f"rediss://redis?ssl_ca_certs={bundle}")["ssl_ca_certs"] == bundle


def accepted_options(url: str) -> dict[str, object]:
    """Options of the connections to a URL that is accepted."""
    pool = connect(SharedSettings(redis_url=SecretStr(url)).redis_url.get_secret_value()).connection_pool
    pool.make_connection()
    return dict(pool.connection_kwargs)


def refusal(url: str) -> str:
    """The text that refuses a URL of Redis."""
    with pytest.raises(ValidationError) as raised:
        SharedSettings(redis_url=SecretStr(url))
    return str(raised.value)
