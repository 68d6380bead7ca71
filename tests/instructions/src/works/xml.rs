//! A message between a stream and its parts.

use super::{MESSAGE, Once};
use bytes::{Bytes, BytesMut};
use std::hint::black_box;
use xmpp_core::{
    Stanza,
    xml::{Element, Frame, Framer, Limits, Scope},
};

/// The header of a client's stream.
pub(crate) const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";

/// The framer finds the end of a message.
pub(crate) fn frame() -> Once {
    let mut framer = Framer::new(Limits::AFTER_AUTH);
    let mut input = BytesMut::from(HEADER);
    framer.next(&mut input).expect("a header");
    Box::new(move || {
        input.extend_from_slice(MESSAGE.as_bytes());
        let frame = framer.next(&mut input).expect("well-formed");
        assert!(matches!(black_box(frame), Some(Frame::Element(_))));
    })
}

/// The strict pass.
pub(crate) fn check() -> Once {
    let (raw, scope) = (Bytes::from_static(MESSAGE.as_bytes()), scope());
    Box::new(move || {
        black_box(Element::check(raw.clone(), &scope, &Limits::AFTER_AUTH).expect("well-formed"));
    })
}

/// Addresses and what else the head is made of.
pub(crate) fn parse() -> Once {
    let element = element();
    Box::new(move || {
        black_box(Stanza::parse(&element).expect("nothing is wrong with it"));
    })
}

/// The start tag made anew, the payload as it came.
pub(crate) fn write() -> Once {
    let (stanza, mut out) = (stanza(), BytesMut::new());
    Box::new(move || {
        out.clear();
        stanza.write(&mut out);
        black_box(&out);
    })
}

/// The message as it is routed: its sender stamped.
pub(crate) fn stanza() -> Stanza {
    let stanza = Stanza::parse(&element()).expect("nothing is wrong with it").expect("a stanza");
    stanza.from("romeo@localhost/orchard".parse().expect("an address"))
}

fn element() -> Element {
    let raw = Bytes::from_static(MESSAGE.as_bytes());
    Element::check(raw, &scope(), &Limits::AFTER_AUTH).expect("well-formed")
}

fn scope() -> Scope {
    let header = Bytes::from_static(HEADER.as_bytes());
    Element::check_header(header, &Limits::AFTER_AUTH).expect("well-formed").1
}
