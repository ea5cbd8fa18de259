"""Who may do what, where the server itself decides."""

import pytest

from components.store.errors import StoreError
from components.store.push import push
from components.store.store import open_store

from .conftest import DAY, make_records
from .servers import READER, WRITER


@pytest.fixture
def server(servers, monkeypatch):
    (server,), authority = servers("tls")
    monkeypatch.setenv("INTENT_STORE_CA", str(authority))
    return server


def address(server, user, scheme="rediss"):
    return f"{scheme}://{user[0]}:{user[1]}@127.0.0.1:{server.port}/0"


def test_a_reader_reads_everything_and_changes_nothing(server, source):
    run = source("monday", ["m1", "m2"])
    push(address(server, WRITER), "access", run, data_time=DAY)
    url = address(server, READER)
    with open_store(url, dataset="access", role="writer") as store:
        assert store.get("m1") is not None
        assert store.vectors(["m1", "m2"])[1].all()
        assert len(next(store.scan()).member_ids) > 0
        assert len(store.versions()) == 1
        assert store.deleted() == []
        assert store.labels() is None
        for change in (
            lambda: store.write(make_records(["m1"]), model="v1"),
            lambda: store.delete("m1"),
            lambda: push(url, "access", run, data_time=DAY + 1),
        ):
            with pytest.raises(StoreError, match="may not"):
                change()
        assert len(store.versions()) == 1


def test_a_wrong_password_is_told_without_showing_it(server):
    with pytest.raises(StoreError, match="rediss://127.0.0.1") as caught:
        open_store(address(server, ("reader", "guess")), dataset="access")
    assert "guess" not in str(caught.value)


def test_credentials_may_come_from_the_environment(server, source, monkeypatch):
    push(address(server, WRITER), "access", source("monday", ["m1"]), data_time=DAY)
    monkeypatch.setenv("INTENT_STORE_USER", READER[0])
    monkeypatch.setenv("INTENT_STORE_PASSWORD", READER[1])
    with open_store(f"rediss://127.0.0.1:{server.port}/0", dataset="access") as store:
        assert store.get("m1") is not None


def test_a_server_whose_certificate_is_not_trusted_is_not_used(server, monkeypatch):
    monkeypatch.delenv("INTENT_STORE_CA")
    with pytest.raises(StoreError, match="certificate"):
        open_store(address(server, WRITER), dataset="access")


def test_an_unencrypted_connection_gets_no_answer(server):
    with pytest.raises(StoreError, match="cannot be reached"):
        open_store(address(server, WRITER, "redis"), dataset="access")
