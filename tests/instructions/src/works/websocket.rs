//! A WebSocket session without HTTP.

use super::{MESSAGE, Once, xml::HEADER};
use bosh_cm::websocket::{
    Admission, Effect, Event, Terms,
    frames::{Opcode, write_frame},
    session::Session,
};
use bytes::BytesMut;
use std::{hint::black_box, sync::Arc, time::Instant};

const OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";

/// A client's frame, unmasked and checked, on its way to the server.
pub(crate) fn inwards() -> Once {
    let mut talk = Talk::begin();
    let mut frame = BytesMut::new();
    let message = MESSAGE.replace("<message ", "<message xmlns='jabber:client' ");
    write_frame(&mut frame, Opcode::Text, message.as_bytes(), Some([7, 8, 9, 10]));
    Box::new(move || assert!(talk.heard(&frame)))
}

/// The server's message in a frame.
pub(crate) fn outwards() -> Once {
    let mut talk = Talk::begin();
    Box::new(move || assert!(talk.received(MESSAGE)))
}

struct Talk {
    session: Session,
    now: Instant,
    heard: BytesMut,
    received: BytesMut,
}

impl Talk {
    /// A session whose client has authenticated.
    fn begin() -> Self {
        let now = Instant::now();
        let session = Session::new(now, "own".into(), Admission::Granted, Arc::<Terms>::default());
        let (heard, received) = (BytesMut::new(), BytesMut::new());
        let mut talk = Self { session, now, heard, received };
        let header = format!("{HEADER}<stream:features/>");
        talk.says(OPEN);
        talk.received(&header);
        talk.says("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>");
        talk.received("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        talk.says(OPEN);
        talk.received(&header);
        talk
    }

    fn says(&mut self, text: &str) {
        let mut frame = BytesMut::new();
        write_frame(&mut frame, Opcode::Text, text.as_bytes(), Some([7, 8, 9, 10]));
        self.heard(&frame);
    }

    /// Bytes of the client; whether anything goes on from there.
    fn heard(&mut self, bytes: &[u8]) -> bool {
        self.heard.extend_from_slice(bytes);
        self.session.handle(self.now, Event::Heard(&mut self.heard));
        self.perform()
    }

    /// Bytes of the server; whether anything goes on from there.
    fn received(&mut self, text: &str) -> bool {
        self.received.extend_from_slice(text.as_bytes());
        self.session.handle(self.now, Event::Received(&mut self.received));
        self.perform()
    }

    fn perform(&mut self) -> bool {
        let mut moved = false;
        while let Some(effect) = self.session.poll() {
            match effect {
                Effect::Write(bytes) => {
                    self.session.handle(self.now, Event::Written(black_box(bytes).len()));
                    moved = true;
                }
                Effect::Send(bytes) => {
                    self.session.handle(self.now, Event::Sent(black_box(bytes).len()));
                    moved = true;
                }
                Effect::End(end) => panic!("it ends: {end:?}"),
                Effect::Connect(_) | Effect::Authenticated | Effect::Close => {}
            }
        }
        moved
    }
}
