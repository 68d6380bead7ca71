//! XEP-0115: Entity Capabilities of the server: what service discovery says of it, in a hash that clients may know
//! already. Those of clients are in their presence, which is nobody's to touch.

use crate::disco;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use router::{At, Declare, Discovery, Extension, Identity, Info, Module, Offer};
use sha1::{Digest, Sha1};
use std::sync::{Arc, OnceLock};
use xmpp_core::{ns, xml::Writer};

/// The software, by a URI (XEP-0115 4). It has no page of its own yet.
const NODE: &str = "urn:x-stonechat:server";

/// Offers the hash, and answers those who do not know it.
#[derive(Default)]
pub(crate) struct Capabilities {
    /// The same at each domain, and for as long as the server runs.
    verification: OnceLock<String>,
}

impl Module for Capabilities {
    fn name(&self) -> &'static str {
        "caps"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(115, "Entity Capabilities", "1.6.0");
        declare.feature(At::Server, ns::CAPS);
        let this = self.clone();
        // XEP-0115 6.3
        declare.stream_feature(Offer::AfterAuth, move |info, _| {
            let mut out = Writer::new();
            out.open_ns("c", ns::CAPS).attr("hash", "sha-1").attr("node", NODE);
            out.attr("ver", self.verification(info)).close();
            out.finish()
        });
        // XEP-0115 6.2; there is nothing else in the node, and no items either.
        declare.nodes(move |request, what, node| {
            let ver = node.strip_prefix(NODE)?.strip_prefix('#')?;
            let info = request.router.info(At::Server);
            let found = request.at == At::Server
                && what == Discovery::Info
                && ver == this.verification(info);
            found.then(|| {
                let mut out = Writer::new();
                disco::write(info, &mut out);
                Ok(out.finish())
            })
        });
    }
}

impl Capabilities {
    fn verification(&self, server: &Info) -> &str {
        self.verification.get_or_init(|| verification(server))
    }
}

/// The verification string (XEP-0115 5.1).
fn verification(info: &Info) -> String {
    let mut hash = Sha1::new();
    let mut add = |text: &str| {
        hash.update(text);
        hash.update("<");
    };
    for Identity { category, kind, name } in &info.identities {
        // None of ours has a language.
        add(&format!("{category}/{kind}//{}", name.as_deref().unwrap_or_default()));
    }
    info.features.iter().for_each(|feature| add(feature));
    for Extension { form_type, fields } in &info.extensions {
        add(form_type);
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_unstable_by_key(|(var, ..)| *var);
        for (var, _, values) in fields {
            add(var);
            let mut values: Vec<_> = values.iter().collect();
            values.sort_unstable();
            values.into_iter().for_each(|value| add(value));
        }
    }
    BASE64.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xep0115_5_2_the_simple_example() {
        let name = Some("Exodus 0.9.1".into());
        let info = Info {
            identities: vec![Identity { category: "client", kind: "pc", name }],
            features: vec![
                "http://jabber.org/protocol/caps",
                "http://jabber.org/protocol/disco#info",
                "http://jabber.org/protocol/disco#items",
                "http://jabber.org/protocol/muc",
            ],
            extensions: Vec::new(),
        };
        assert_eq!(verification(&info), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    /// The expected hash is OpenSSL's, of the string that the method gives by hand.
    #[test]
    fn xep0115_5_1_fields_and_values_are_sorted_whatever_their_order_in_the_form() {
        let strings = |values: &[&str]| values.iter().map(|&value| value.into()).collect();
        let info = Info {
            identities: vec![Identity { category: "server", kind: "im", name: None }],
            features: vec!["a", "b"],
            extensions: vec![Extension {
                form_type: "urn:form",
                fields: vec![("z", "Z", strings(&["2", "10"])), ("b", "B", strings(&["ß", "x"]))],
            }],
        };
        // server/im//<a<b<urn:form<b<x<ß<z<10<2<
        assert_eq!(verification(&info), "efvrSbCnN2G9vIDl4PIDGOZ0iO0=");
    }
}
