//! What the small connection manager answers with.

use bytes::Bytes;
use xmpp_core::{
    ns,
    xml::{Element, Limits, Scope},
};

/// The type of an answer unless the client asked for another one (XEP-0124 5).
pub const TEXT_XML: &str = "text/xml; charset=utf-8";

/// A response.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub content: String,
    pub body: String,
}

impl Reply {
    pub fn plain(body: &str) -> Self {
        Self { status: 200, content: "text/plain; charset=utf-8".into(), body: body.into() }
    }

    pub fn condition(condition: &str, versioned: bool) -> Self {
        let status = match condition {
            _ if versioned => 200,
            "bad-request" => 400,
            "policy-violation" => 403,
            "item-not-found" => 404,
            _ => 200,
        };
        let attributes = format!("type='terminate' condition='{condition}'");
        Self { status, content: TEXT_XML.into(), body: body(&attributes, "") }
    }
}

/// A `<body/>`.
pub fn body(attributes: &str, payloads: &str) -> String {
    format!(
        "<body {attributes} xmlns='{}' xmlns:xmpp='{}' xmlns:stream='{}'>{payloads}</body>",
        ns::HTTPBIND,
        ns::XBOSH,
        ns::STREAMS
    )
}

/// The messages in a response.
pub fn messages(reply: &Reply) -> Vec<String> {
    let body = Bytes::from(reply.body.clone());
    let limits = Limits { depth: 50, ..Limits::AFTER_AUTH };
    let body = Element::check(body, &Scope::default(), &limits).unwrap();
    let messages = body.children().filter(|child| child.name == "message");
    messages.map(|child| String::from_utf8(child.raw.to_vec()).unwrap()).collect()
}
