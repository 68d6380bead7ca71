//! Debian's ejabberd: Mnesia, no shapers, no log, schedulers that do not spin while they wait.

use super::{DOMAIN, Place, Start, sha1};
use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};
use tokio::process::Command;

pub(super) fn start(place: &Place<'_>) -> anyhow::Result<Start> {
    let folder = place.folder.display();
    let archive = match place.wish.archive {
        true => "  mod_mam: {default: always, assume_mam_usage: false}\n",
        false => "",
    };
    let pem = place.folder.join("both.pem");
    fs::write(&pem, [fs::read(&place.certificate)?, fs::read(&place.key)?].concat())?;
    let settings = format!(
        r#"hosts: [{DOMAIN}]
loglevel: error
certfiles: ["{pem}"]
acme: {{auto: false}}
listen:
  - {{port: {c2s}, ip: "127.0.0.1", module: ejabberd_c2s, shaper: none, starttls: true}}
  - port: {http}
    ip: "127.0.0.1"
    module: ejabberd_http
    request_handlers: {{/http-bind: mod_bosh, /xmpp-websocket: ejabberd_http_ws}}
auth_method: [internal]
auth_password_format: scram
websocket_ping_interval: 3600
websocket_timeout: 7200
modules:
  mod_bosh: {{}}
  mod_carboncopy: {{}}
  mod_disco: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_roster: {{}}
  mod_stream_mgmt: {{}}
{archive}shaper: {{}}
shaper_rules: {{}}
"#,
        pem = pem.display(),
        c2s = place.c2s,
        http = place.http,
    );
    let file = place.folder.join("ejabberd.yml");
    fs::write(&file, &settings)?;
    let database = place.folder.join("mnesia");
    fs::create_dir_all(&database)?;
    let people = place.folder.join("people.erl");
    fs::write(&people, provide(place)?)?;
    let sign = place.folder.join("started");
    let options = "+K true +P 1000000 +Q 131072 +sbwt none +sbwtdcpu none +sbwtdio none";
    let mut command = Command::new("erl");
    command
        .arg("-noinput")
        .args(options.split(' '))
        .args(["-mnesia", "dir", &format!("\"{}\"", database.display())])
        .args(["-s", "ejabberd", "-eval"])
        .arg(format!(
            "ok = file:eval(\"{}\"), ok = file:write_file(\"{}\", \"\").",
            people.display(),
            sign.display()
        ))
        .env("EJABBERD_CONFIG_PATH", file)
        .env("EJABBERD_LOG_PATH", format!("{folder}/ejabberd.log"))
        .env("ERL_CRASH_DUMP_BYTES", "0")
        .env("ERL_LIBS", libraries()?);
    Ok(Start { command, settings: format!("{settings}# erl {options}\n"), sign: Some(sign) })
}

/// Accounts and rosters, as expressions that write them to Mnesia.
fn provide(place: &Place<'_>) -> anyhow::Result<String> {
    let keys = sha1(&place.keys);
    let encoded = |bytes: &[u8]| STANDARD.encode(bytes);
    let mut out = format!(
        "Host = <<\"{DOMAIN}\">>,\n\
         Keys = {{scram, <<\"{}\">>, <<\"{}\">>, <<\"{}\">>, sha, {}}},\n\
         Account = fun(User) -> ok = mnesia:dirty_write({{passwd, {{User, Host}}, Keys}}) end,\n\
         Contact = fun(User, Other) ->\n\
             Jid = {{Other, Host, <<>>}},\n\
             ok = mnesia:dirty_write({{roster, {{User, Host, Jid}}, {{User, Host}}, Jid, <<>>, both, none, [], <<>>, []}})\n\
         end,\n\
         Name = fun(Prefix, Number) -> list_to_binary(io_lib:format(\"~c~5..0w\", [Prefix, Number])) end,\n",
        encoded(&keys.stored_key),
        encoded(&keys.server_key),
        encoded(&keys.salt),
        keys.iterations,
    );
    let people = &place.wish.people;
    if people.users > 0 {
        writeln!(out, "[Account(Name($u, N)) || N <- lists:seq(0, {})],", people.users - 1)?;
    }
    for ring in &people.rings {
        let (prefix, last) = (ring.prefix, ring.people - 1);
        writeln!(out, "[Account(Name(${prefix}, N)) || N <- lists:seq(0, {last})],")?;
    }
    for ring in &people.rings {
        let (prefix, people, last) = (ring.prefix, ring.people, ring.people - 1);
        let half = ring.contacts / 2;
        writeln!(
            out,
            "[Contact(Name(${prefix}, N), Name(${prefix}, (N + {people} + S) rem {people})) || \
             N <- lists:seq(0, {last}), S <- lists:seq(-{half}, {half}), S =/= 0],"
        )?;
        if ring.away > 0 {
            writeln!(
                out,
                "[begin Contact(Name(${prefix}, N), Name($u, A)), Contact(Name($u, A), Name(${prefix}, N)) end || \
                 N <- lists:seq(0, {last}), A <- lists:seq(0, {})],",
                ring.away - 1
            )?;
        }
    }
    out.push_str("ok.\n");
    Ok(out)
}

/// Where Debian keeps it, by architecture.
fn libraries() -> anyhow::Result<PathBuf> {
    let folders = fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path());
    let holds = |folder: &Path| {
        fs::read_dir(folder).is_ok_and(|inside| {
            inside
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().starts_with("ejabberd-"))
        })
    };
    folders.into_iter().find(|folder| holds(folder)).context("the Debian package of ejabberd")
}
