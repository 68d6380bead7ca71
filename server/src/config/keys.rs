//! Every key of the configuration, declared once: the type, the default and the words that explain it.
//! Parsing, the check for unknown keys and the commented example all come from these declarations.

use program::{file, table};

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

/// Seconds, as limits count them.
pub type Seconds = u64;

table! {
    /// Keys outside any table.
    Top {
        /// The domains served here: the part after `@` of every account's address.
        domains: Vec<String> = strings(["localhost"]);
        /// The folder of the database and the generated certificate. Relative to this file.
        data: String = "data".into();
        /// Who may administer the server from a client (XEP-0133), such as ["admin@example.org"]. Nobody can register
        /// these addresses: make their accounts with `stonechat user add`.
        admins: Vec<String> = Vec::new();
    }
}

table! {
    /// Client streams over TCP.
    C2s {
        /// Where clients connect and upgrade with STARTTLS. [] switches it off; [::] falls back to
        /// 0.0.0.0 without IPv6.
        listen: Vec<String> = strings(["[::]:5222"]);
        /// Where clients connect with TLS from the first byte (XEP-0368).
        direct_tls: Vec<String> = strings(["[::]:5223"]);
        /// Connection managers and proxies in front: what comes from these addresses has to begin with the PROXY
        /// protocol, version 2, and the address it names counts for every limit.
        proxies: Vec<String> = Vec::new();
        /// Whether nothing but STARTTLS is possible on an unprotected stream (RFC 6120 5.3.1).
        require_tls: bool = true;
    }
}

table! {
    /// The HTTP listener: BOSH, WebSocket and the demonstration's page.
    Http {
        /// Where browsers, or a proxy in front, connect.
        listen: Vec<String> = strings(["127.0.0.1:5280"]);
        /// The path of BOSH (XEP-0124).
        bosh: String = "/http-bind".into();
        /// The path of WebSocket (RFC 7395).
        websocket: String = "/xmpp-websocket".into();
        /// The web origins whose pages may use both, such as ["https://chat.example.org"]. []: any; no cookies are ever
        /// involved, so that a page gets nowhere without a password.
        origins: Vec<String> = Vec::new();
        /// Whether BOSH bodies may be compressed: requests, and answers after login. Where an attacker can make others
        /// send what it chooses, the length of what it is compressed with says something of the secrets beside it, even
        /// under TLS (CRIME, BREACH): leave it off unless bytes are dear.
        compression: bool = false;
        /// Where the world finds BOSH: an address with https:, told at /.well-known/host-meta and host-meta.json
        /// (XEP-0156), which https://YOUR.DOMAIN has to answer; and to whoever comes without HTTPS while c2s.require_tls.
        public_bosh: Option<String> = None, sample "\"https://chat.example.org/http-bind\"";
        /// Where the world finds WebSocket: an address with wss:, told likewise.
        public_websocket: Option<String> = None, sample "\"wss://chat.example.org/xmpp-websocket\"";
    }
}

table! {
    /// The HTTPS listener: the same as over HTTP.
    Https {
        /// Where browsers connect over HTTPS, such as ["[::]:5281"]; with the certificate of `tls`. []: only a proxy does TLS.
        listen: Vec<String> = Vec::new();
    }
}

table! {
    /// Numbers for operators.
    Metrics {
        /// Where they are shown: /metrics for Prometheus, / as a page for people. Whoever gets there may look, so keep it to
        /// yourself, as ["127.0.0.1:9280"] does. []: nowhere.
        listen: Vec<String> = Vec::new();
    }
}

table! {
    /// The certificate. Both keys or neither.
    Tls {
        /// The chain in PEM, the server's certificate first. Read again on SIGHUP and when the file
        /// changes. Absent: a self-signed one is made in `data`.
        certificate: Option<String> = None, sample "\"/etc/ssl/example.org/fullchain.pem\"";
        /// Its private key in PEM.
        key: Option<String> = None, sample "\"/etc/ssl/example.org/privkey.pem\"";
    }
}

table! {
    /// In-band registration (XEP-0077).
    Registration {
        /// Whether strangers may create accounts, over TLS or HTTPS only. Users can change their password and cancel
        /// their account in any case.
        enabled: bool = false;
    }
}

table! {
    /// The store.
    Store {
        /// "sqlite:FILE", the file relative to `data`; or "memory:", which forgets everything at the end.
        url: String = "sqlite:stonechat.db".into();
        /// "disk": a write is done when it is flushed; "process": it survives a kill, not a power cut.
        durability: String = "disk".into();
    }
}

table! {
    /// Authentication.
    Auth {
        /// The SASL mechanisms offered, strongest first.
        mechanisms: Vec<String> = strings(["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
        /// Rounds of PBKDF2 for new passwords, from 4096 to 10000000. More is slower for attackers and for you.
        iterations: u32 = 10_000;
    }
}

table! {
    /// The message archive (XEP-0313).
    Archive {
        /// Whose messages are archived where the user has not said (XEP-0441): "always", "roster" or "never".
        default: String = "always".into();
        /// Days that messages are archived; 0: for good.
        days: u32 = 0;
        /// Messages of one archive, of which the latest stay; 0: all.
        messages: usize = 1_000_000;
    }
}

table! {
    /// Whom to write to about this service (XEP-0157): URIs, such as "xmpp:admin@example.org" or
    /// "mailto:abuse@example.org". Anybody may read them.
    Contact {
        /// About abuse and spam.
        abuse: Vec<String> = Vec::new();
        /// Those who run it.
        admin: Vec<String> = Vec::new();
        /// With praise and complaints.
        feedback: Vec<String> = Vec::new();
        /// About what it costs.
        sales: Vec<String> = Vec::new();
        /// About its security.
        security: Vec<String> = Vec::new();
        /// Where its status is told.
        status: Vec<String> = Vec::new();
        /// For help.
        support: Vec<String> = Vec::new();
    }
}

table! {
    /// Limits. Each holds before memory grows.
    Limits {
        /// Addresses that limits per address, rates and registration do not count, and whose
        /// Forwarded, or X-Forwarded-For and X-Forwarded-Proto, is believed.
        trusted: Vec<String> = strings(["127.0.0.0/8", "::1"]);
        /// Bytes of one stanza from a client.
        stanza_bytes: usize = 262_144;
        /// Bytes of one element before authentication.
        preauth_bytes: usize = 8_192;
        /// Elements in one stanza.
        elements: u32 = 4_096;
        /// Elements in one element before authentication.
        preauth_elements: u32 = 32;
        /// Depth of nesting.
        depth: u32 = 128;
        /// Depth of nesting before authentication.
        preauth_depth: u32 = 16;
        /// Attributes of one element.
        attributes: u32 = 64;
        /// Attributes of one element before authentication.
        preauth_attributes: u32 = 16;
        /// Seconds from the connection to a bound session, whatever happens in between.
        auth_timeout: Seconds = 30;
        /// Seconds for a TLS handshake.
        tls_timeout: Seconds = 10;
        /// Seconds of silence before the server asks whether the client is there.
        idle_check: Seconds = 300;
        /// Seconds a client has to answer that.
        idle_close: Seconds = 60;
        /// Bytes a second that a client may send in the long run; above it is read more slowly.
        rate_bytes: u32 = 20_480;
        /// Bytes it may send at once after a pause.
        rate_burst: u32 = 262_144;
        /// Stanzas a second in the long run.
        rate_stanzas: u32 = 50;
        /// Stanzas at once after a pause.
        rate_stanzas_burst: u32 = 200;
        /// Connections of one address (IPv4, or an IPv6 network of 64 bits).
        connections_per_address: u32 = 100;
        /// New connections of one address in a minute.
        connections_per_minute: u32 = 30;
        /// Sessions of one account.
        sessions_per_user: usize = 10;
        /// Failed logins of one stream before it is closed.
        failed_logins_per_stream: u32 = 5;
        /// Failed logins of one address in a minute.
        failed_logins_per_minute: u32 = 10;
        /// Bytes that wait for a slow client before it is closed.
        send_buffer: usize = 262_144;
        /// Seconds that one write to a client may take.
        send_timeout: Seconds = 60;
        /// Contacts in one roster.
        roster_items: usize = 5_000;
        /// Messages kept for an account that is offline.
        offline_messages: usize = 1_000;
        /// Bytes of them.
        offline_bytes: usize = 10_485_760;
        /// Documents that one account may keep: private XML (XEP-0049) and its vCard (XEP-0054).
        documents: usize = 256;
        /// Bytes of them.
        documents_bytes: usize = 1_048_576;
        /// Addresses that one account may block (XEP-0191).
        blocked: usize = 1_000;
        /// Seconds of silence that end a BOSH session.
        bosh_inactivity: Seconds = 60;
        /// Seconds between two empty polls of a BOSH session at least.
        bosh_polling: Seconds = 2;
        /// Seconds that a BOSH request is held at most.
        bosh_wait: Seconds = 60;
        /// BOSH requests of one session held at once; a client gets what it asks for up to this, 1 if it does not ask.
        /// Some ask for 2, stanza among them, that never make a third, and could not speak while 2 are held.
        bosh_hold: u8 = 1;
        /// Seconds that a BOSH client may pause (XEP-0124 10).
        bosh_pause: Seconds = 120;
        /// Bytes of an HTTP request's head.
        http_head: usize = 8_192;
        /// Bytes of an HTTP request's body.
        http_body: usize = 270_336;
        /// Seconds for the head of an HTTP request, and again for its body.
        http_timeout: Seconds = 10;
        /// Fragments of one WebSocket message.
        websocket_fragments: u32 = 64;
        /// Stanzas that one client may leave unacknowledged (XEP-0198) before the next ones wait for it.
        sm_stanzas: usize = 1_000;
        /// Bytes of them.
        sm_bytes: usize = 1_048_576;
        /// Seconds in which a stream whose connection is lost may be resumed; 0: not at all.
        sm_resume: Seconds = 600;
        /// Seconds in which a client must say something once it was asked for an acknowledgement.
        sm_ack_timeout: Seconds = 60;
        /// Messages on one page of an archive unless the client says.
        archive_page: usize = 50;
        /// Messages on one page at most.
        archive_page_max: usize = 250;
        /// Seconds from the connection to the login of a client that asked how to register.
        registration_timeout: Seconds = 300;
        /// Registrations of one address in an hour, those that failed too.
        registrations_per_hour: u32 = 10;
        /// Bytes of one uploaded file. At work once uploads exist (XEP-0363).
        upload_file: u64 = 52_428_800;
        /// Bytes that one account may upload in a day.
        upload_daily: u64 = 524_288_000;
        /// Days that an uploaded file is kept.
        upload_days: u32 = 30;
        /// Occupants of one room. At work once rooms exist (XEP-0045).
        room_occupants: usize = 1_000;
        /// Rooms that one account may own.
        rooms_per_user: usize = 200;
        /// Items of one node. At work once publish-subscribe exists (XEP-0060).
        pubsub_items: usize = 1_000;
        /// Bytes of all items of one account.
        pubsub_bytes: usize = 10_485_760;
        /// Bytes of one stanza from another server. At work once federation exists.
        s2s_stanza_bytes: usize = 524_288;
        /// Bytes a second from one other server.
        s2s_rate_bytes: u32 = 204_800;
        /// Stanzas that wait for one other server.
        s2s_queue: usize = 1_000;
        /// Bytes of them.
        s2s_queue_bytes: usize = 4_194_304;
        /// Seconds after which they are returned.
        s2s_queue_timeout: Seconds = 120;
    }
}

file! {
    /// The whole file as it is written.
    File of "stonechat" {
        top: Top = "";
        c2s: C2s = "c2s";
        http: Http = "http";
        https: Https = "https";
        metrics: Metrics = "metrics";
        tls: Tls = "tls";
        registration: Registration = "registration";
        store: Store = "store";
        auth: Auth = "auth";
        archive: Archive = "archive";
        contact: Contact = "contact";
        limits: Limits = "limits";
    }
}
