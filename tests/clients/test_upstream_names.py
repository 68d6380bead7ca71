"""`bosh-cm` finds Debian's Prosody by asking a name server, and speaks only with who proves to be the domain: SRV records of
both kinds (RFC 2782, XEP-0368), STARTTLS and direct TLS, certificates of an authority of our own.

All of it is in a network namespace: its name server has port 53, and the programs ask it because `/etc/resolv.conf` says so.
"""

import asyncio
import base64
import contextlib
import datetime
import os
import pathlib
import re
import subprocess
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dnslib import RCODE
from dnslib.server import DNSLogger, DNSServer
from dnslib.zoneresolver import ZoneResolver
from foreign import prosody
from harness import BINARIES, PATIENCE, Process

# Prosody: STARTTLS on 5222, direct TLS on 5223; nobody listens on 5999; 6001 and 6002 count and pass on to 5222.
ZONE = """
_xmpp-client._tcp.starttls.example.  60 IN SRV 0 0 5222 host.example.
_xmpps-client._tcp.direct.example.   60 IN SRV 0 0 5223 host.example.
_xmpp-client._tcp.priority.example.  60 IN SRV 10 0 5999 host.example.
_xmpp-client._tcp.priority.example.  60 IN SRV 20 0 5222 host.example.
_xmpps-client._tcp.mixed.example.    60 IN SRV 5 0 5999 host.example.
_xmpp-client._tcp.mixed.example.     60 IN SRV 10 0 5222 host.example.
_xmpp-client._tcp.half.example.      60 IN SRV 0 0 0 .
_xmpps-client._tcp.half.example.     60 IN SRV 0 0 5223 host.example.
_xmpp-client._tcp.weights.example.   60 IN SRV 0 30 6001 host.example.
_xmpp-client._tcp.weights.example.   60 IN SRV 0 10 6002 host.example.
bare.example.                        60 IN A 127.0.0.1
_xmpp-client._tcp.wrong.example.     60 IN SRV 0 0 5222 host.example.
_xmpps-client._tcp.wrong2.example.   60 IN SRV 0 0 5223 host.example.
_xmpp-client._tcp.expired.example.   60 IN SRV 0 0 5222 host.example.
_xmpp-client._tcp.untrusted.example. 60 IN SRV 0 0 5222 host.example.
_xmpp-client._tcp.none.example.      60 IN SRV 0 0 0 .
none.example.                        60 IN A 127.0.0.1
_xmpp-client._tcp.dead.example.      60 IN SRV 0 0 5999 host.example.
_xmpp-client._tcp.lost.example.      60 IN SRV 0 0 5222 nowhere.example.
host.example.                        60 IN A 127.0.0.1
"""
# What has a certificate that proves it, and what has another.
GOOD = ["starttls", "direct", "priority", "mixed", "half", "weights", "bare"]
BAD = {
    "wrong": "its certificate is the one of the host that it is on (RFC 6120 13.7.2.1)",
    "wrong2": "its certificate is another domain's, under direct TLS",
    "expired": "its certificate has expired",
    "untrusted": "its certificate is from an authority that nobody trusts",
    "none": "it says that it has no service for clients (RFC 2782)",
    "dead": "nobody listens there",
    "lost": "its host has no address",
}

PROSODY = """
c2s_ports = {{ 5222 }}
c2s_direct_tls_ports = {{ 5223 }}
c2s_direct_tls_ssl = {{ key = "{folder}/good.key"; certificate = "{folder}/good.crt" }}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "presence", "message", "iq" }}
modules_disabled = {{ "s2s" }}
c2s_require_encryption = true
authentication = "internal_plain"
"""
HOST = """
VirtualHost "{host}"
    ssl = {{ key = "{folder}/{pair}.key"; certificate = "{folder}/{pair}.crt" }}
"""


def test_bosh_cm_finds_servers_by_srv_and_believes_their_certificates_only(tmp_path):
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *user, "--net", "--mount", sys.executable, __file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


class Names(ZoneResolver):
    """Answers from the zone, and remembers what was asked."""

    def __init__(self, zone):
        super().__init__(zone)
        self.asked = set()

    def resolve(self, request, handler):
        self.asked.add(str(request.q.qname))
        reply = super().resolve(request, handler)
        # A name that has records of another type does exist (RFC 2308 2.2).
        if any(request.q.qname == name for name, _, _ in self.zone):
            reply.header.rcode = RCODE.NOERROR
        return reply


def certificates(folder):
    """Pairs of certificate and key: good, wrong, expired, untrusted; and the authority's certificate, ca.pem."""
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)

    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def made(subject, issuer, signer, until, extension):
        key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - 2 * day).not_valid_after(until)
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(signer or key, hashes.SHA256()), key

    authority = x509.BasicConstraints(ca=True, path_length=None)
    ca, ca_key = made("An authority", "An authority", None, now + day, authority)
    _, other_key = made("An authority", "An authority", None, now + day, authority)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    for pair, domains, signer, until in [
        ("good", GOOD, ca_key, now + day),
        ("wrong", ["host"], ca_key, now + day),
        ("expired", ["expired"], ca_key, now - day),
        ("untrusted", ["untrusted"], other_key, now + day),
    ]:
        names = x509.SubjectAlternativeName([x509.DNSName(f"{domain}.example") for domain in domains])
        certificate, key = made("A server", "An authority", signer, until, names)
        (folder / f"{pair}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{pair}.key").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def config(folder):
    """Prosody's, with a certificate for each domain that has one."""
    pairs = {**dict.fromkeys(GOOD, "good"), "wrong": "wrong", "wrong2": "wrong", "expired": "expired", "untrusted": "untrusted"}
    hosts = (HOST.format(host=f"{domain}.example", pair=pair, folder=folder) for domain, pair in pairs.items())
    return PROSODY.format(folder=folder) + "".join(hosts)


def bosh_cm(folder):
    domains = [f"{domain}.example" for domain in [*GOOD, *BAD]]
    sets = ["http.listen=['127.0.0.1:5280']", f"domains={domains}", f"upstream.ca={folder / 'ca.pem'}"]
    return Process(BINARIES / "bosh-cm", *(f"--set={one}" for one in sets))


class Counter:
    """Passes on to 5222, and counts."""

    def __init__(self, port):
        self.port, self.count = port, 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.passed, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def passed(self, reader, writer):
        self.count += 1
        there, back = await asyncio.open_connection("127.0.0.1", 5222)

        async def flow(source, sink):
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65_536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(flow(reader, back), flow(there, writer))


class Session:
    """A session of BOSH, one request after the other."""

    def __init__(self, domain):
        self.rid, self.domain, self.sid = 1, domain, None

    async def ask(self, attributes="", payload=""):
        self.rid += 1
        sid = f"sid='{self.sid}'" if self.sid else f"to='{self.domain}' ver='1.11' wait='10' hold='1' xmpp:version='1.0'"
        body = (f"<body rid='{self.rid}' {sid} {attributes} xmlns='http://jabber.org/protocol/httpbind' "
                f"xmlns:xmpp='urn:xmpp:xbosh'>{payload}</body>").encode()
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", 5280)
            writer.write(b"POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            answer = (await reader.readexactly(int(re.search(r"content-length: (\d+)", head)[1]))).decode()
            writer.close()
        if match := re.search(r" sid='([^']+)'", answer):
            self.sid = match[1]
        return answer

    async def open(self):
        """What the session begins with: features, or how it ends."""
        answer = await self.ask()
        while "features" not in answer and "terminate" not in answer:
            answer = await self.ask()
        return answer


async def play(folder):
    certificates(folder)
    names = Names(ZONE)
    quiet = DNSLogger(log="error")
    servers = [DNSServer(names, address="127.0.0.1", port=53, tcp=tcp, logger=quiet) for tcp in (False, True)]
    for server in servers:
        server.start_thread()
    accounts = [("romeo", "starttls.example", "montague")]
    async with prosody(folder, config(folder), [5222, 5223], accounts), bosh_cm(folder):
        async with Counter(6001) as heavy, Counter(6002) as light:
            for domain in GOOD:
                answer = await Session(f"{domain}.example").open()
                if "remote-connection-failed" in answer:
                    # On a busy machine Prosody's handshake may take longer than the manager waits.
                    answer = await Session(f"{domain}.example").open()
                # Only after TLS does it offer any, and none that binds a channel which ends here.
                assert "SCRAM-SHA-1<" in answer and "-PLUS" not in answer, f"{domain}: {answer}"
            heavy.count = light.count = 0
            await asyncio.gather(*(Session("weights.example").open() for _ in range(40)))
            # Eleven of forty-one: by chance more than 24 or less than 2 once in many thousand runs.
            assert heavy.count + light.count == 40 and 2 <= light.count <= 24, (heavy.count, light.count)
        for domain, why in BAD.items():
            answer = await Session(f"{domain}.example").open()
            assert "condition='remote-connection-failed'" in answer, f"{domain}: {why}, but: {answer}"
        # Threat B07: what is not served is not even looked up.
        answer = await Session("elsewhere.example").open()
        assert "condition='host-unknown'" in answer, answer
        assert not any("elsewhere" in name for name in names.asked), names.asked
        assert "_xmpps-client._tcp.starttls.example." in names.asked, "both kinds are asked for (XEP-0368 3)"

        romeo = Session("starttls.example")
        await romeo.open()
        secret = base64.b64encode(b"\0romeo\0montague").decode()
        auth = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
        answer = await romeo.ask(payload=auth)
        while "<body" in answer and "success" not in answer and "failure" not in answer and "terminate" not in answer:
            answer = await romeo.ask()
        assert "<success" in answer, answer
    for server in servers:
        server.stop()


def main(folder):
    """In a namespace of its own."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    resolv = folder / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:2\n")
    subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], check=True)
    asyncio.run(asyncio.wait_for(play(folder), 100))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
