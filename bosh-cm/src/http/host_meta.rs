//! Where BOSH and WebSocket are, for web clients that know a domain only (XEP-0156, RFC 6415).

use super::Page;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode};
use xmpp_core::xml::Writer;

/// The documents in XML and in JSON, of the public addresses that are known; none where there is none.
pub fn pages(bosh: Option<&str>, websocket: Option<&str>) -> Vec<Page> {
    let known = [("xbosh", bosh), ("websocket", websocket)];
    let links: Vec<_> = known.into_iter().filter_map(|(rel, href)| Some((rel, href?))).collect();
    if links.is_empty() {
        return Vec::new();
    }
    let page = |path, content_type, body| Page {
        content_type: HeaderValue::from_static(content_type),
        // XEP-0156 3: pages of any origin may read these, and nothing else for it.
        any_origin: true,
        ..Page::text(path, StatusCode::OK, body)
    };
    vec![
        page("/.well-known/host-meta", "application/xrd+xml; charset=utf-8", xrd(&links)),
        page("/.well-known/host-meta.json", "application/json", jrd(&links)),
    ]
}

fn xrd(links: &[(&str, &str)]) -> Bytes {
    let mut out = Writer::new();
    out.open_ns("XRD", "http://docs.oasis-open.org/ns/xri/xrd-1.0");
    for (rel, href) in links {
        out.open("Link").attr("rel", &relation(rel)).attr("href", href).close();
    }
    out.close();
    let mut document = BytesMut::from(&b"<?xml version='1.0' encoding='utf-8'?>"[..]);
    document.extend_from_slice(&out.finish());
    document.freeze()
}

fn jrd(links: &[(&str, &str)]) -> Bytes {
    // The configuration takes no address with a character that JSON would have escaped.
    let link =
        |(rel, href): &(&str, &str)| format!(r#"{{"rel":"{}","href":"{href}"}}"#, relation(rel));
    let links: Vec<_> = links.iter().map(link).collect();
    format!(r#"{{"links":[{}]}}"#, links.join(",")).into()
}

fn relation(rel: &str) -> String {
    format!("urn:xmpp:alt-connections:{rel}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_documents_tell_the_same() {
        let pages = pages(Some("https://x.example/b?a&c"), Some("wss://x.example/ws"));
        assert_eq!(
            pages[0].body,
            "<?xml version='1.0' encoding='utf-8'?>\
             <XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\
             <Link rel='urn:xmpp:alt-connections:xbosh' href='https://x.example/b?a&amp;c'/>\
             <Link rel='urn:xmpp:alt-connections:websocket' href='wss://x.example/ws'/></XRD>"
        );
        assert_eq!(
            pages[1].body,
            r#"{"links":[{"rel":"urn:xmpp:alt-connections:xbosh","href":"https://x.example/b?a&c"},{"rel":"urn:xmpp:alt-connections:websocket","href":"wss://x.example/ws"}]}"#
        );
    }

    #[test]
    fn what_is_not_public_is_not_told() {
        assert!(pages(None, None).is_empty());
        let pages = pages(None, Some("wss://x.example/ws"));
        assert!(
            pages
                .iter()
                .all(|page| page.any_origin && !page.body.windows(5).any(|w| w == b"xbosh"))
        );
    }
}
