//! XEP-0092: Software Version.

use router::{At, Declare, Module};
use std::sync::Arc;
use xmpp_core::{ns, stanza::IqType, xml::Writer};

/// What the server calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The operating system; told to anybody who asks, so usually nothing (XEP-0092 5).
    pub os: Option<String>,
}

/// Tells what runs here.
pub(crate) struct Version {
    pub(crate) software: Software,
}

impl Module for Version {
    fn name(&self) -> &'static str {
        "version"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(92, "Software Version", "1.1");
        declare.feature(At::Server, ns::VERSION);
        declare.answer(IqType::Get, (ns::VERSION, "query"), [At::Server], move |_| {
            let Software { name, version, os } = &self.software;
            let mut out = Writer::new();
            out.open_ns("query", ns::VERSION);
            out.open("name").text(name).close();
            out.open("version").text(version).close();
            if let Some(os) = os {
                out.open("os").text(os).close();
            }
            out.close();
            Ok(out.finish().into())
        });
    }
}
