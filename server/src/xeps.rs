//! The extensions that this server speaks: what its modules declare, and what its doors are.

use crate::{Config, settings, wiring};
use modules::Registrar;
use roster_store::{Store, memory::Memory};
use router::Xep;
use std::{fmt::Write, sync::Arc};
use xmpp_core::xml::escape_into;

/// What is no module: the ways in.
const DOORS: [Xep; 6] = [
    Xep {
        number: 124,
        name: "Bidirectional-streams Over Synchronous HTTP (BOSH)",
        version: "1.11.2",
        lacks: None,
    },
    Xep {
        number: 156,
        name: "Discovering Alternative XMPP Connection Methods",
        version: "1.4.0",
        lacks: None,
    },
    Xep { number: 198, name: "Stream Management", version: "1.6.3", lacks: None },
    Xep { number: 206, name: "XMPP Over BOSH", version: "1.4", lacks: None },
    Xep { number: 368, name: "SRV records for XMPP over TLS", version: "1.1.0", lacks: None },
    Xep { number: 478, name: "Stream Limits Advertisement", version: "0.2.0", lacks: None },
];

/// The RFCs that README.md names.
const RFCS: [u16; 6] = [5802, 6120, 6121, 7395, 7622, 7677];

/// All of them, by their number.
pub(crate) fn all() -> Vec<Xep> {
    let config = Config::with(&[]).expect("the defaults are a configuration");
    let store: Arc<dyn Store> = Memory::new(settings::caps(&config.limits));
    let passwords = Arc::new(wiring::OffReactor(wiring::hashing(&config)));
    let registrar = Registrar::new(Arc::clone(&store), passwords);
    let modules = wiring::modules(&config, &store, &registrar, &Arc::default());
    let declared =
        router::xeps(&modules).expect("the modules do not clash: a test starts them all");
    let mut xeps: Vec<_> = declared.into_iter().chain(DOORS).collect();
    xeps.sort_by_key(|xep| xep.number);
    xeps
}

/// One of them as it is printed.
pub(crate) fn line(Xep { number, name, version, lacks }: &Xep) -> String {
    let mut line = format!("XEP-{number:04} {name} ({version})");
    if let Some(lacks) = lacks {
        line.push_str(", without ");
        line.push_str(lacks);
    }
    line
}

/// A description of the project for machines (XEP-0453), without the line end.
pub(crate) fn doap() -> String {
    let mut out = String::from(HEAD);
    let mut put = |line: &str| writeln!(out, "    {line}").expect("a string takes all");
    for rfc in RFCS {
        put(&format!("<implements rdf:resource='https://www.rfc-editor.org/info/rfc{rfc}'/>"));
    }
    for Xep { number, version, lacks, .. } in all() {
        put("<implements>");
        put("  <xmpp:SupportedXep>");
        let page = format!("https://xmpp.org/extensions/xep-{number:04}.html");
        put(&format!("    <xmpp:xep rdf:resource='{page}'/>"));
        let status = if lacks.is_some() { "partial" } else { "complete" };
        put(&format!("    <xmpp:status>{status}</xmpp:status>"));
        put(&format!("    <xmpp:version>{version}</xmpp:version>"));
        if let Some(lacks) = lacks {
            put(&format!("    <xmpp:note>without {}</xmpp:note>", escaped(lacks)));
        }
        put("  </xmpp:SupportedXep>");
        put("</implements>");
    }
    out.push_str("  </Project>\n</rdf:RDF>");
    out
}

fn escaped(text: &str) -> String {
    let mut out = bytes::BytesMut::new();
    escape_into(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

const HEAD: &str = "\
<?xml version='1.0' encoding='UTF-8'?>
<rdf:RDF xmlns='http://usefulinc.com/ns/doap#' xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'
         xmlns:xmpp='https://linkmauve.fr/ns/xmpp-doap#'>
  <!-- Made by `stonechat xeps --doap`. -->
  <Project xml:lang='en'>
    <name>Stonechat</name>
    <shortdesc>An XMPP server with a separate BOSH connection manager</shortdesc>
    <description>An XML stream server routes message, presence and iq stanzas between sessions, and a separate BOSH \
connection manager translates HTTP long-poll bodies into XMPP streams for web clients.</description>
    <category rdf:resource='https://linkmauve.fr/ns/xmpp-doap#category-server'/>
    <os>Linux</os>
    <programming-language>Rust</programming-language>
    <license rdf:resource='https://spdx.org/licenses/MIT.html'/>
    <license rdf:resource='https://spdx.org/licenses/Apache-2.0.html'/>
";
