"""A mail server on three ports: TLS from the first byte, STARTTLS, and neither.

What it takes is a line of JSON in FOLDER/taken. Addresses say what it refuses: refuse@ 550, busy@ 451, full@ 552 after the message.
A file FOLDER/lose makes it take the next message and hang up without a word; FOLDER/cut hang up before the message; FOLDER/drop-after-mail
after the sender was named.
"""

import asyncio
import datetime
import ipaddress
import json
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

folder = pathlib.Path(sys.argv[1])
ports = [int(port) for port in sys.argv[2:5]]
user, password = "quell", (folder / "password").read_text()


def certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail of a test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def struck(name):
    try:
        (folder / name).unlink()
        return True
    except FileNotFoundError:
        return False


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        if struck("drop-after-mail"):
            server.transport.abort()
            return "421 gone"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "refuse":
            return "550 5.1.1 nobody of that name"
        if name == "busy":
            return "451 4.7.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if any(address.startswith("full@") for address in envelope.rcpt_tos):
            return "552 5.2.2 the mailbox is full"
        if struck("cut"):
            server.transport.abort()
            return "421 gone"
        message = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": server.transport.get_extra_info("sslcontext") is not None,
            "login": bool(session.authenticated),
            "content": envelope.content.decode("utf-8", "replace"),
        }
        with open(folder / "taken", "a") as file:
            file.write(json.dumps(message) + "\n")
        if struck("lose"):
            server.transport.abort()
            return "421 gone"
        return "250 OK: taken"


def authenticator(server, session, envelope, mechanism, data):
    good = data.login == user.encode() and data.password == password.encode()
    # A server that repeats what it was told, as some do.
    message = None if good else f"535 5.7.8 not accepted: {data.password.decode()}"
    return AuthResult(success=good, handled=good, message=message)


async def main():
    context = certificate()
    common = {"authenticator": authenticator, "hostname": "localhost"}
    loop = asyncio.get_running_loop()
    kinds = [
        (lambda: SMTP(Handler(), auth_required=True, auth_require_tls=False, **common), context),
        (lambda: SMTP(Handler(), auth_required=True, tls_context=context, require_starttls=True, **common), None),
        (lambda: SMTP(Handler(), **common), None),
    ]
    servers = [
        await loop.create_server(make, "127.0.0.1", port, ssl=tls) for port, (make, tls) in zip(ports, kinds)
    ]
    (folder / "ready").touch()
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
