"""Regions over TLS. The wheel's server speaks none, so a proxy of the test does, in front of it."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from superset_ext.cache.redis.place import Place, safe_url
from superset_ext.embedded.valkey import Valkey
from superset_ext.errors import SettingsError
from testing.lost_stamps import LOSSES, nothing_old_is_shown
from testing.regions import chart_region, make_region


class Proxy:
    """Takes TLS off and passes the rest on."""

    def __init__(self, directory: Path, target: int) -> None:
        self.authority = certificate(directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        self._context, self._target = context, target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            inside = self._context.wrap_socket(client, server_side=True)
        except OSError:
            client.close()
            return
        server = socket.create_connection(("127.0.0.1", self._target))
        threading.Thread(target=_pump, args=(server, inside), daemon=True).start()
        _pump(inside, server)

    def stop(self) -> None:
        self._listener.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    finally:
        source.close()
        target.close()


def certificate(directory: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(alternative, False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    signed = builder.sign(key, hashes.SHA256())
    (directory / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (directory / "key.pem").write_bytes(encoded)
    return directory / "cert.pem"


@pytest.fixture
def proxy(fresh_valkey: Callable[..., Valkey], tmp_path: Path) -> Iterator[Proxy]:
    server = Proxy(tmp_path, fresh_valkey().port)  # where no other test has said that something changed
    yield server
    server.stop()


def test_a_region_over_tls(proxy: Proxy) -> None:
    """Intent: with the authority named in the URL and the host name checked, all works, large values too."""
    query = f"ssl_ca_certs={proxy.authority}&ssl_check_hostname=true"
    cache = make_region(f"rediss://127.0.0.1:{proxy.port}/8?{query}")
    value = {"bytes": bytes(300_000)}
    assert cache.set("k", value)
    assert [cache.get("k") for _ in range(3)] == [value] * 3
    for lose in LOSSES.values():
        assert cache.erase()
        nothing_old_is_shown(chart_region(f"rediss://127.0.0.1:{proxy.port}/8?{query}"), lose)


def test_an_unknown_authority_is_refused(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    """Intent: by default a certificate is checked, and what fails there fails open."""
    cache = make_region(f"rediss://127.0.0.1:{proxy.port}/8", circuit_failures=1)
    with caplog.at_level(logging.WARNING):
        assert cache.get("k") is None
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "service", "db"),
    [
        ("redis://h", "single", (("h", 6379),), "", 0),
        ("rediss://u:p@h:7000/3", "single", (("h", 7000),), "", 3),
        ("redis://[::1]:7000/1", "single", (("::1", 7000),), "", 1),
        ("redis+sentinel://a,b:1/svc/2", "sentinel", (("a", 26379), ("b", 1)), "svc", 2),
        ("redis+sentinel://a", "sentinel", (("a", 26379),), "mymaster", 0),
        ("rediss+cluster://u:p@a:1,b", "cluster", (("a", 1), ("b", 6379)), "", 0),
    ],
)
def test_urls(url: str, kind: str, hosts: tuple[tuple[str, int], ...], service: str, db: int) -> None:
    """Intent: each form of URL that the settings take."""
    place = Place.of(url)
    assert (place.kind, place.hosts, place.service, place.options["db"]) == (kind, hosts, service, db)
    assert place.tls is url.startswith("rediss")


def test_credentials_are_unquoted_and_not_shown() -> None:
    """Intent: they reach Redis as they are, and nothing else."""
    url = "redis+sentinel://us%40er:p%2Fss@a,b/svc?sentinel_password=watch&ssl_cert_reqs=none"
    place = Place.of(url.replace("redis+", "rediss+"))
    assert (place.options["username"], place.options["password"]) == ("us@er", "p/ss")
    assert place.sentinel_options == {"password": "watch"}
    assert place.options["ssl_cert_reqs"] == "none"
    assert repr(place) == "Place(rediss+sentinel://a,b/svc)"
    assert safe_url(url) == "redis+sentinel://a,b/svc"


@pytest.mark.parametrize(
    "url", ["redis://u:secret@h/0?ssl_certs=x", "redis://u:secret@h:port/0", "rediss://u:secret@h?ssl_cert_reqs=x"]
)
def test_a_malformed_url_is_said_at_start(url: str) -> None:
    """Intent: one line, without the credentials."""
    with pytest.raises(SettingsError) as error:
        Place.of(url)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
