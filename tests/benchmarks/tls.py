"""TLS before servers that have none: `python -m tests.benchmarks.tls` is the proxy, `Tls` starts it.

The embedded PostgreSQL and Valkey are built without TLS, and on AWS both are reached with it. The
certificates are as those of AWS: RSA with 2,048 bits, and one authority between the root that is trusted and
the server.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from local.processes.child_process import start_child
from local.servers.services import ServiceFailed, Startable, free_port, is_free, wait_until

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"

_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # PostgreSQL's protocol, 54.7: "shall we speak TLS?"


class Tls(Startable):
    """A proxy before PostgreSQL and one before Valkey; `folder` gets the certificates.

    After start(), `authority` is the file with the root, and the ports are where TLS is spoken.
    """

    def __init__(self, folder: Path, postgres: int, valkey: int) -> None:
        self.authority = folder / "authority.pem"
        self.postgres, self.valkey = free_port(), free_port()
        self._folder = folder
        self._behind = {"postgres": (self.postgres, postgres), "valkey": (self.valkey, valkey)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the certificates and listen. Raises ServiceFailed."""
        _make_certificates(self._folder)
        ports = [str(port) for pair in self._behind.values() for port in pair]
        with (self._folder / "tls.log").open("ab") as log:
            self._process = start_child(
                [sys.executable, "-m", __name__, str(self._folder), *ports], log=log, cwd=ROOT
            )
        if not wait_until(lambda: not any(is_free(port) for port, _ in self._behind.values()), timeout=10):
            raise ServiceFailed("The TLS proxy did not start.")

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


# ── Certificates ──────────────────────────────────────────────────────────────────────────────────────────


def _make_certificates(folder: Path) -> None:
    root_key, between_key, server_key = (
        rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(3)
    )
    root = _certificate("Benchmark Root", root_key, None, root_key)
    between = _certificate("Benchmark Authority", between_key, root, root_key)
    server = _certificate(HOST, server_key, between, between_key)
    (folder / "authority.pem").write_bytes(_pem(root))
    (folder / "server.pem").write_bytes(_pem(server) + _pem(between))
    (folder / "server.key").write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _certificate(
    name: str, key: rsa.RSAPrivateKey, issuer: x509.Certificate | None, signing: rsa.RSAPrivateKey
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    is_server = name == HOST
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=not is_server, path_length=None), critical=True)
        .add_extension(_key_usage(is_server=is_server), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
        )
    )
    if is_server:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signing, hashes.SHA256())


def _key_usage(*, is_server: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=is_server,
        key_cert_sign=not is_server,
        crl_sign=not is_server,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


# ── The proxy ─────────────────────────────────────────────────────────────────────────────────────────────


async def _serve(folder: Path, postgres: tuple[int, int], valkey: tuple[int, int]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")

    async def from_postgres(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(len(_SSL_REQUEST)) != _SSL_REQUEST:
                writer.close()  # who does not want TLS gets nothing
                return
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(context)
            await _pass_on(reader, writer, postgres[1])

    async def from_valkey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _pass_on(reader, writer, valkey[1])

    await asyncio.start_server(from_postgres, HOST, postgres[0])
    await asyncio.start_server(from_valkey, HOST, valkey[0], ssl=context)
    await asyncio.Event().wait()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Whatever comes from either side goes to the other, until one of them has enough."""
    with suppress(OSError):
        to_server = await asyncio.open_connection(HOST, port)
        both = [
            asyncio.ensure_future(_copy(reader, to_server[1])),
            asyncio.ensure_future(_copy(to_server[0], writer)),
        ]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for one in both:
            one.cancel()
        to_server[1].close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()


if __name__ == "__main__":
    _ports = [int(port) for port in sys.argv[2:]]
    asyncio.run(_serve(Path(sys.argv[1]), (_ports[0], _ports[1]), (_ports[2], _ports[3])))
