//! The demonstration's page, with a policy that lets it run its own script and talk to its own server.

use base64::{Engine, prelude::BASE64_STANDARD};
use bosh_cm::http::Page;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

const HTML: &str = include_str!("index.html");

/// The page at `/`.
pub(crate) fn page(bosh_path: &str) -> Page {
    let html = HTML.replace("\"/http-bind\"", &format!("\"{bosh_path}\""));
    let hash = |element: &str| {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let inner = html.split(&open).nth(1).and_then(|rest| rest.split(&close).next());
        BASE64_STANDARD.encode(Sha256::digest(inner.expect("the page has it")))
    };
    // Only the script and the style written in the page, by their hashes (XSS). The bars' widths are set by the script
    // through the style object, which the policy does not concern.
    let policy = format!(
        "default-src 'none'; connect-src 'self'; script-src 'sha256-{}'; style-src 'sha256-{}'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style"),
    );
    Page {
        path: "/".into(),
        status: StatusCode::OK,
        content_type: HeaderValue::from_static("text/html; charset=utf-8"),
        policy: HeaderValue::try_from(policy).expect("base64 is fit for a header"),
        any_origin: false,
        body: Bytes::from(html),
    }
}
