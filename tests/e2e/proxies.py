"""nginx and Caddy in front of an API: the files of deploy/proxy, but for names, ports and certificates."""

import os
import shutil
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dev.stack import ROOT, Process, Stack, free_port

FOLDER = ROOT / "deploy" / "proxy"
NAME = "localhost"
NGINX_FRAME = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    # Stands in for the default of 60 s: waits that are longer than this take less of a test's time.
    proxy_read_timeout 1s;
    include {folder}/job-server.conf;
}}
"""
CADDY_FRAME = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"


class Proxy:
    """A proxy with TLS on a free port of loopback.

    Attributes:
        kind: nginx or caddy.
        port: its port with TLS.
        url: the URL of the API by the proxy.
        trust: the certificate that clients trust.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.port = free_port()
        self.url = f"https://{NAME}:{self.port}"
        self._folder = folder
        self.trust = write_certificate(folder)

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.trust))

    def start(self, stack: Stack) -> Process:
        """Start the proxy of the stack's API."""
        command, environment = {"nginx": self._nginx, "caddy": self._caddy}[self.kind](
            f"127.0.0.1:{stack.api_port}"
        )
        return stack.spawn(self.kind, command, environment)

    def _nginx(self, api: str) -> tuple[list[str], dict[str, str]]:
        folder = self._folder
        site = replaced(
            (FOLDER / "nginx.conf").read_text(),
            ("127.0.0.1:8000", api),
            ("jobs.example.com;", f"{NAME};"),
            ("/etc/ssl/jobs.example.com.pem", str(self.trust)),
            ("/etc/ssl/jobs.example.com.key", str(folder / "key.pem")),
            ("/var/log/nginx/job-server.log", str(folder / "access.log")),
            ("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl"),
            ("listen [::]:443 ssl http2;", ""),
            ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
            ("listen [::]:80;", ""),
        )
        (folder / "job-server.conf").write_text(site)
        user = "user root;" if os.geteuid() == 0 else ""  # the folders of tests are private
        (folder / "nginx.conf").write_text(NGINX_FRAME.format(folder=folder, user=user))
        return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")], {}

    def _caddy(self, api: str) -> tuple[list[str], dict[str, str]]:
        folder = self._folder
        certificate = f"tls {self.trust} {folder / 'key.pem'}"
        site = replaced(
            (FOLDER / "Caddyfile").read_text(),
            ("127.0.0.1:8000", api),
            ("jobs.example.com {", f"{self.url} {{\n\tbind 127.0.0.1\n\t{certificate}"),
        )
        (folder / "Caddyfile").write_text(CADDY_FRAME + site)
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
        return command, {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The text with each first word of a pair replaced; every one must be there."""
    for old, new in pairs:
        if old not in text:
            raise ValueError(f"The file has no {old!r} any more; correct the test.")
        text = text.replace(old, new)
    return text


def installed(kind: str) -> bool:
    return shutil.which(kind) is not None


def write_certificate(folder: Path) -> Path:
    """Write a certificate for NAME that is its own authority, and key.pem; returns the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password))
    file = folder / "certificate.pem"
    file.write_bytes(certificate.public_bytes(pem))
    return file
