//! Debian's Prosody: epoll, Lua 5.4, no limits, no log; archives, where there are any, in its own files, which is faster than SQLite.

use super::{DOMAIN, Place, Start, sha1};
use std::{fmt::Write as _, fs};
use tokio::process::Command;

pub(super) fn start(place: &Place<'_>, collector: &str) -> anyhow::Result<Start> {
    provide(place)?;
    let (folder, certificate, key) =
        (place.folder.display(), place.certificate.display(), place.key.display());
    let archive = if place.wish.archive { ", \"mam\"" } else { "" };
    let settings = format!(
        r#"pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
log = {{ error = "*console" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
s2s_ports = {{}}
http_interfaces = {{ "127.0.0.1" }}
http_ports = {{ {http} }}
https_ports = {{}}
network_backend = "epoll"
gc = {{ mode = "{collector}" }}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "presence", "message", "iq", "offline", "ping",
    "smacks", "carbons", "bosh", "websocket"{archive} }}
modules_disabled = {{ "s2s" }}
c2s_require_encryption = false
consider_bosh_secure = true
consider_websocket_secure = true
bosh_max_wait = 600
authentication = "internal_hashed"
storage = "internal"
storage_archive_item_limit = 1000000
default_archive_policy = true
archive_expires_after = "never"
limits = {{}}
run_as_root = true
VirtualHost "{DOMAIN}"
    ssl = {{ certificate = "{certificate}", key = "{key}" }}
    http_host = "{DOMAIN}"
"#,
        c2s = place.c2s,
        http = place.http,
    );
    let file = place.folder.join("prosody.cfg.lua");
    fs::write(&file, &settings)?;
    let mut command = Command::new("lua5.4");
    command.args(["/usr/bin/prosody", "--root", "-F", "--config"]).arg(file);
    Ok(Start { command, settings, sign: None })
}

/// Accounts and rosters, a file each.
fn provide(place: &Place<'_>) -> anyhow::Result<()> {
    let data = place.folder.join("data").join(DOMAIN);
    let (accounts, rosters) = (data.join("accounts"), data.join("roster"));
    fs::create_dir_all(&accounts)?;
    fs::create_dir_all(&rosters)?;
    let keys = sha1(&place.keys);
    let account = format!(
        "return {{\n\t[\"salt\"] = \"{}\";\n\t[\"iteration_count\"] = {};\n\t[\"stored_key\"] = \"{}\";\n\t\
         [\"server_key\"] = \"{}\";\n}};\n",
        String::from_utf8_lossy(&keys.salt),
        keys.iterations,
        hexadecimal(&keys.stored_key),
        hexadecimal(&keys.server_key),
    );
    for name in place.wish.people.names() {
        fs::write(accounts.join(format!("{name}.dat")), &account)?;
    }
    for (name, contacts) in place.wish.people.rosters() {
        let mut roster = String::from("return {\n\t[false] = { [\"version\"] = 1; };\n");
        for contact in contacts {
            writeln!(
                roster,
                "\t[\"{contact}@{DOMAIN}\"] = {{ [\"subscription\"] = \"both\"; [\"groups\"] = {{}}; }};"
            )?;
        }
        roster.push_str("};\n");
        fs::write(rosters.join(format!("{name}.dat")), roster)?;
    }
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}
