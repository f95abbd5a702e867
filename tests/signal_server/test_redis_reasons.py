"""What an operator reads when Redis cannot be the store."""

import socket
import ssl

import pytest

pytest.importorskip("redis")

from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import InvalidResponse, ResponseError

from signal_server.store.redis_reasons import CLUSTER, misfit_untrusted, reason_of


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ResponseError("WRONGPASS invalid username-password pair"), "another user or password"),
        (ResponseError("NOAUTH Authentication required."), "another user or password"),
        (ResponseError("READONLY You can't write against a read only replica."), "replica"),
        (ResponseError("OOM command not allowed when used memory > 'maxmemory'."), "full"),
        (ResponseError("NOPERM this user has no permissions to run 'evalsha'"), "ACL"),
        (ResponseError("MOVED 9259 127.0.0.1:7112"), "Cluster"),
        (ResponseError("ERR DB index is out of range"), "no such database"),
        (LostConnection("LOADING Redis is loading the dataset in memory"), "loading"),
        (LostConnection("Redis has closed it"), "lost"),
        (InvalidResponse("Protocol error"), "no Redis"),
        (TimeoutError(), "in time"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "TLS"),
        (ssl.SSLCertVerificationError(1, "self-signed"), "not trusted"),
        (socket.gaierror(-2, "Name or service not known"), "name"),
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens"),
        (FileNotFoundError(2, "No such file or directory"), "no such file"),
        (OSError("Multiple exceptions"), "cannot be reached"),
    ],
)
def test_each_failure_has_words_of_its_own(failure: Exception, reason: str) -> None:
    assert reason in reason_of(failure)


def test_what_redis_answers_is_not_quoted() -> None:
    for answer in ("NEWCODE about rtcsend:1:{nameplate:7}", "about rtcsend:1:{nameplate:7}"):
        assert "nameplate" not in reason_of(ResponseError(answer))
    assert reason_of(ResponseError("NEWCODE x")) == "it refuses (NEWCODE)"


@pytest.mark.parametrize(
    ("server", "cluster", "misfit"),
    [
        ("redis_version:7.0.15\r\nredis_mode:standalone\r\n", "", None),
        ("redis_version:8.2.1\r\nredis_mode:cluster\r\n", "cluster_size:1\r\n", None),
        ("redis_version:7.2.4\r\n", "cluster_state:ok\r\ncluster_size:3\r\n", CLUSTER),
        ("redis_version:7.0.15\r\nredis_mode:sentinel\r\n", "", "Sentinel"),
        ("redis_version:6.0.16\r\nredis_mode:standalone\r\n", "", "it is Redis 6.0: 7.0"),
        ("", "", None),
        ("redis_version:what\r\n", "cluster_size:what\r\n", CLUSTER),
    ],
)
def test_what_a_redis_says_of_itself(server: str, cluster: str, misfit: str | None) -> None:
    found = misfit_untrusted(server, cluster)
    assert found == misfit or (misfit is not None and misfit in (found or ""))
