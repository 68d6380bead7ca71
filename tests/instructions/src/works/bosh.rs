//! A BOSH session without HTTP.

use super::{MESSAGE, Once, xml::HEADER};
use bosh_cm::session::{Conn, Effect, Event, Request, Session, StreamId, Terms};
use bytes::BytesMut;
use std::{hint::black_box, sync::Arc, time::Instant};
use xmpp_core::xml::Limits;

/// The largest body, which no request here comes near.
const LIMITS: Limits = Limits::AFTER_AUTH;

/// A request that brings a message to the server and is answered with one of the server's.
pub(crate) fn exchange() -> Once {
    let mut talk = Talk::begin();
    let mut rid = 102;
    let message = MESSAGE.replace("<message ", "<message xmlns='jabber:client' ");
    Box::new(move || {
        rid += 1;
        let body = format!(
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='{rid}' sid='SID'>{message}</body>"
        );
        let answers = talk.request(rid, &body) + talk.server(MESSAGE);
        assert_eq!(answers, 1);
    })
}

struct Talk {
    session: Session,
    now: Instant,
    input: BytesMut,
}

impl Talk {
    /// A session whose client has authenticated.
    fn begin() -> Self {
        let now = Instant::now();
        let body = "<body xmlns='http://jabber.org/protocol/httpbind' rid='100' to='localhost' \
            ver='1.6' hold='1' wait='60'/>";
        let (request, terms) = (request(body), Arc::<Terms>::default());
        let session = Session::open(now, Conn(100), &request, "SID".into(), &terms);
        let session = session.unwrap_or_else(|_| panic!("refused"));
        let mut talk = Self { session, now, input: BytesMut::new() };
        let features = "<stream:features/>";
        talk.perform();
        talk.server(&format!("{HEADER}{features}"));
        talk.request(
            101,
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='101' sid='SID'>\
             <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/></body>",
        );
        talk.server("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        talk.request(
            102,
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='102' sid='SID' \
             xmlns:xmpp='urn:xmpp:xbosh' xmpp:restart='true' to='localhost'/>",
        );
        talk.server(&format!("{HEADER}{features}"));
        talk
    }

    /// A request; how many were answered.
    fn request(&mut self, number: u64, body: &str) -> usize {
        let event = Event::Request(Conn(number), Box::new(request(body)));
        self.session.handle(self.now, event);
        self.perform()
    }

    /// What the server says; how many requests were answered.
    fn server(&mut self, text: &str) -> usize {
        self.input.extend_from_slice(text.as_bytes());
        self.session.handle(self.now, Event::Received(StreamId::FIRST, &mut self.input));
        self.perform()
    }

    fn perform(&mut self) -> usize {
        let mut answers = 0;
        while let Some(effect) = self.session.poll() {
            match effect {
                Effect::Write(stream, bytes) => {
                    self.session.handle(self.now, Event::Written(stream, bytes.len()));
                }
                Effect::Answer(_, answer) => {
                    black_box(answer);
                    answers += 1;
                }
                Effect::End(end) => panic!("it ends: {end:?}"),
                Effect::Connect(..) | Effect::Authenticated(_) | Effect::Close(_) => {}
            }
        }
        answers
    }
}

fn request(body: &str) -> Request {
    Request::parse(body.into(), &LIMITS).unwrap_or_else(|_| panic!("a bad request"))
}
