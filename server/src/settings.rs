//! What the configuration means to each room.

use crate::{
    config::{Config, keys},
    page,
};
use bosh_cm::{
    Insecure, Manager, Terms,
    http::{self, Site},
    websocket,
};
use c2s::Rate;
use modules::ArchiveSettings;
use net::address::AddressLimits;
use roster_store::Caps;
use std::{sync::Arc, time::Duration};
use xmpp_core::xml::Limits;

/// How long the sessions have to take their leave.
pub(crate) const GOODBYE: Duration = Duration::from_secs(5);
/// HTTP connections of one BOSH session: one held, one sending.
const HTTP_CONNECTIONS: u32 = 2;
/// New HTTP connections of one BOSH session in a minute: somebody types, and none is kept.
const HTTP_REQUESTS_PER_MINUTE: u32 = 60;
/// File descriptors that are not connections: the store, listeners, the log.
const OTHER_FILES: u64 = 64;

/// What one account may fill in the store.
pub(crate) fn caps(limits: &keys::Limits) -> Caps {
    let usual = Caps::default();
    Caps {
        roster_items: limits.roster_items,
        // Room for as much text as usual in each item, where there may be more of them.
        roster_bytes: usual.roster_bytes.max(limits.roster_items.saturating_mul(200)),
        offline_messages: limits.offline_messages,
        offline_bytes: limits.offline_bytes,
        documents: limits.documents,
        documents_bytes: limits.documents_bytes,
        blocked: limits.blocked,
        // Room for addresses as long as usual, where there may be more of them.
        blocked_bytes: usual.blocked_bytes.max(limits.blocked.saturating_mul(65)),
        ..usual
    }
}

/// Archives.
pub(crate) fn archive(config: &Config) -> ArchiveSettings {
    let limits = &config.limits;
    ArchiveSettings {
        default: config.archive_policy,
        page: limits.archive_page.min(limits.archive_page_max),
        page_max: limits.archive_page_max,
    }
}

/// Accounts and what is on its way to them.
pub(crate) fn router(config: &Config) -> router::Settings {
    router::Settings {
        sessions_per_account: config.limits.sessions_per_user,
        mailbox_bytes: config.limits.send_buffer,
        lane_bytes: config.limits.send_buffer,
        ..router::Settings::new(config.domains.clone())
    }
}

/// Client streams.
pub(crate) fn door(config: &Config) -> c2s::Settings {
    let limits = &config.limits;
    c2s::Settings {
        require_tls: config.require_tls,
        mechanisms: config.mechanisms.clone(),
        iterations: config.iterations,
        before_auth: before_auth(limits),
        after_auth: after_auth(limits),
        auth_timeout: Duration::from_secs(limits.auth_timeout),
        tls_timeout: Duration::from_secs(limits.tls_timeout),
        idle_timeout: Duration::from_secs(limits.idle_check),
        idle_grace: Duration::from_secs(limits.idle_close),
        write_timeout: Duration::from_secs(limits.send_timeout),
        unacked: limits.sm_stanzas,
        unacked_bytes: limits.sm_bytes,
        ack_timeout: Duration::from_secs(limits.sm_ack_timeout),
        resume: Duration::from_secs(limits.sm_resume),
        login_retries: limits.failed_logins_per_stream,
        failed_logins_per_minute: limits.failed_logins_per_minute,
        bytes: Rate { per_second: limits.rate_bytes, burst: limits.rate_burst },
        stanzas: Rate { per_second: limits.rate_stanzas, burst: limits.rate_stanzas_burst },
        registration: config.registration.then(|| c2s::Registration {
            timeout: Duration::from_secs(limits.registration_timeout),
            per_hour: limits.registrations_per_hour,
            // An operator's account is nobody's to take.
            reserved: config.admins.clone(),
        }),
        shutdown_timeout: GOODBYE,
        trusted: config.trusted.clone(),
        ..c2s::Settings::new(config.domains[0].clone())
    }
}

/// The connection manager.
pub(crate) fn manager(config: &Config) -> bosh_cm::Settings {
    let limits = &config.limits;
    bosh_cm::Settings {
        terms: Terms {
            domains: config.domains.clone(),
            hold: limits.bosh_hold.into(),
            wait: Duration::from_secs(limits.bosh_wait),
            inactivity: Duration::from_secs(limits.bosh_inactivity),
            polling: Duration::from_secs(limits.bosh_polling),
            max_pause: Duration::from_secs(limits.bosh_pause),
            stranger_bytes: limits.preauth_bytes + bosh_cm::session::ENVELOPE,
            compression: config.compression,
            ..Terms::default()
        },
        insecure: if config.require_tls {
            Insecure::Refuse {
                bosh: config.public_bosh.clone(),
                websocket: config.public_websocket.clone(),
            }
        } else {
            Insecure::Accept
        },
        sessions: addresses(config),
        requests: requests(config),
        // A body is a stanza or several, one level deeper; every one of them declares its namespace.
        body: Limits {
            bytes: limits.http_body,
            elements: limits.elements.saturating_mul(2),
            declarations: limits.elements.saturating_mul(2),
            depth: limits.depth.saturating_add(1),
            attributes: limits.attributes,
            ..Limits::AFTER_AUTH
        },
        websocket: Arc::new(websocket::Terms {
            domains: config.domains.clone(),
            gone: Vec::new(),
            before_auth: before_auth(limits),
            after_auth: after_auth(limits),
            fragments: limits.websocket_fragments,
        }),
        ..bosh_cm::Settings::default()
    }
}

/// What one element of a stranger's may hold.
fn before_auth(limits: &keys::Limits) -> Limits {
    Limits {
        bytes: limits.preauth_bytes,
        elements: limits.preauth_elements,
        depth: limits.preauth_depth,
        attributes: limits.preauth_attributes,
        ..Limits::BEFORE_AUTH
    }
}

/// What one stanza may hold.
fn after_auth(limits: &keys::Limits) -> Limits {
    Limits {
        bytes: limits.stanza_bytes,
        elements: limits.elements,
        depth: limits.depth,
        attributes: limits.attributes,
        ..Limits::AFTER_AUTH
    }
}

/// What the HTTP listeners serve.
pub(crate) fn site(config: &Config, manager: Arc<Manager>) -> Site {
    let urls = (config.public_bosh.as_deref(), config.public_websocket.as_deref());
    let host_meta = http::host_meta::pages(urls.0, urls.1);
    let chat_page = config.chat_page.then(|| page::page(&config.bosh_path));
    Site {
        manager,
        bosh: config.bosh_path.clone(),
        websocket: config.websocket_path.clone(),
        origins: config.origins.clone(),
        proxies: config.trusted.clone(),
        pages: chat_page.into_iter().chain(host_meta).collect(),
        head_bytes: config.limits.http_head,
        patience: Duration::from_secs(config.limits.http_timeout),
    }
}

/// What one address may do.
pub(crate) fn addresses(config: &Config) -> AddressLimits {
    AddressLimits {
        total: connections(),
        per_address: config.limits.connections_per_address,
        new_per_minute: config.limits.connections_per_minute,
        trusted: config.trusted.clone(),
    }
}

/// What `limits` say counts sessions, which the manager counts itself; a session comes in several connections, and
/// in a new one for each request where a client or a proxy does not keep them.
pub(crate) fn http_addresses(config: &Config) -> AddressLimits {
    let sessions = addresses(config);
    AddressLimits {
        per_address: sessions.per_address.saturating_mul(HTTP_CONNECTIONS),
        new_per_minute: sessions.new_per_minute.saturating_mul(HTTP_REQUESTS_PER_MINUTE),
        ..sessions
    }
}

/// Requests that wait for an answer: as many as there may be connections of HTTP/1, and no more where one connection
/// carries several.
fn requests(config: &Config) -> AddressLimits {
    AddressLimits { new_per_minute: u32::MAX, ..http_addresses(config) }
}

/// Connections that this process can hold: its file descriptors, as many as it may have.
fn connections() -> usize {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX)
}
