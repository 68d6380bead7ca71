//! Stream management as a whole: a client and a session, a connection that loses what it likes at any byte, and a store that
//! takes its time. Whatever happens, each side has had every stanza of the other once and in order.

use super::*;
use crate::session::{
    Resumed,
    ledger::{Counts, Ledger, Terms},
};
use proptest::prelude::*;
use router::Mail;
use xmpp_core::{
    stanza::{Kind, MessageType},
    xml::{Element, Frame, Framer, Limits, Scope},
};

#[derive(Debug, Clone)]
enum Move {
    /// The client says a stanza.
    Says,
    /// The client asks for an acknowledgement.
    Asks,
    /// The client acknowledges all it has.
    Acknowledges,
    /// So many bytes of the client's arrive.
    Up(usize),
    /// So many bytes of the server's leave it.
    Out(usize),
    /// So many bytes of the server's arrive.
    Down(usize),
    /// Somebody else writes to the client.
    Mail,
    /// The store has written so many stanzas.
    Settles(usize),
    /// The connection is lost, with all that is on its way, and the stream resumed.
    Cut,
    Waits(u32),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let bytes = || prop_oneof![4 => 1_usize..60, 1 => Just(usize::MAX)];
    let one = prop_oneof![
        6 => Just(Move::Says),
        2 => Just(Move::Asks),
        2 => Just(Move::Acknowledges),
        8 => bytes().prop_map(Move::Up),
        8 => bytes().prop_map(Move::Out),
        8 => bytes().prop_map(Move::Down),
        6 => Just(Move::Mail),
        6 => (1_usize..4).prop_map(Move::Settles),
        2 => Just(Move::Cut),
        1 => (0_u32..70).prop_map(Move::Waits),
    ];
    prop::collection::vec(one, 0..80)
}

/// A client that keeps to the rules.
struct Client {
    framer: Framer,
    scope: Scope,
    heard: BytesMut,
    /// Bytes on their way to the server.
    up: Vec<u8>,
    /// What it has said: the number of the next, and of the first that is not acknowledged.
    next: u32,
    acknowledged: u32,
    /// Numbers of the messages it has, in order.
    has: Vec<u32>,
    /// Where both counts began.
    base: u32,
    /// A stream is resumed: nothing else is said.
    resuming: bool,
}

impl Client {
    fn new(base: u32) -> Self {
        Self {
            framer: Framer::new(Limits::AFTER_AUTH),
            scope: Scope { default: ns::CLIENT.into(), ..Scope::default() },
            heard: BytesMut::new(),
            up: Vec::new(),
            next: 0,
            acknowledged: 0,
            has: Vec::new(),
            base,
            resuming: false,
        }
    }

    fn say(&mut self, text: &str) {
        self.up.extend_from_slice(text.as_bytes());
    }

    fn h(&self) -> u32 {
        self.base.wrapping_add(u32::try_from(self.has.len()).expect("few"))
    }

    /// Its connection is new: nothing on the former one counts any more.
    fn resume(&mut self) {
        self.heard.clear();
        self.up.clear();
        self.framer = Framer::new(Limits::AFTER_AUTH);
        let mut stream = BytesMut::from(answer_header("capulet.lit", None).as_bytes());
        let header = self.framer.next(&mut stream);
        assert!(matches!(header, Ok(Some(Frame::Header(_)))));
        self.resuming = true;
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='token' h='{}'/>", self.h());
        self.say(&resume);
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
        while let Some(frame) = self.framer.next(&mut self.heard).expect("well-formed") {
            let Frame::Element(raw) = frame else { continue };
            let element = Element::check(raw, &self.scope, &Limits::AFTER_AUTH).expect("XML");
            match element.name() {
                "message" => {
                    assert!(!self.resuming, "nothing comes before the stream is resumed");
                    let id = element.attr("id").expect("an id");
                    self.has.push(id.parse().expect("a number"));
                }
                "r" => self.say(&format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.h())),
                "a" => self.on_count(&element),
                "resumed" => {
                    self.resuming = false;
                    self.on_count(&element);
                    for number in self.acknowledged..self.next {
                        self.say(&stanza(number));
                    }
                }
                other => panic!("{other}"),
            }
        }
    }

    fn on_count(&mut self, element: &Element) {
        let h: u32 = element.attr("h").and_then(|h| h.parse().ok()).expect("a count");
        let count = h.wrapping_sub(self.base);
        assert!((self.acknowledged..=self.next).contains(&count), "{h}");
        self.acknowledged = count;
    }
}

fn stanza(number: u32) -> String {
    format!("<message id='{number}'/>")
}

/// The other end and all that is behind it.
struct Server {
    talk: Talk,
    /// The books of the stream while no connection has them.
    books: Option<Box<Ledger>>,
    /// What left it and has not arrived.
    down: Vec<u8>,
    /// Numbers of the client's stanzas that were routed, in order.
    routed: Vec<u32>,
    /// How many of them have settled, and how many the session was told of.
    settled: usize,
    told: usize,
    /// The number of the next letter in the mailbox, and of the one behind its last.
    first: u32,
    last: u32,
    /// Numbers of the letters that the client is known to have, in order.
    proven: Vec<u32>,
}

impl Server {
    fn new(base: u32) -> Self {
        let counts = Counts { handled: base, acknowledged: base };
        let terms = Terms { token: "token".into(), max: 600 * SECOND };
        Self {
            talk: connection(),
            books: Some(Box::new(Ledger::restored(Some(terms), counts, [].into(), Vec::new()))),
            down: Vec::new(),
            routed: Vec::new(),
            settled: 0,
            told: 0,
            first: 0,
            last: 0,
            proven: Vec::new(),
        }
    }

    /// What a driver does in one turn. Whether the connection goes on.
    fn turn(&mut self) -> bool {
        loop {
            while self.first < self.last && self.talk.session.has_room() && self.books.is_none() {
                let message = Stanza::new(Kind::Message(MessageType::Chat), Bytes::new());
                let message = message.to(jid(BALCONY)).id(&self.first.to_string());
                self.talk.event(Event::Mail(Mail::Letter(message.into())));
                self.first += 1;
            }
            if self.first == self.last && self.told < self.settled {
                self.talk.event(Event::Settled(self.settled - self.told));
                self.told = self.settled;
            }
            self.took();
            match self.talk.session.poll() {
                Some(Effect::Dispatch(stanza)) => {
                    let id = stanza.head.id.as_ref().expect("an id");
                    self.routed.push(id.parse().expect("a number"));
                    self.talk.event(Event::Routed);
                }
                Some(Effect::Resume(..)) => {
                    let ledger = self.books.take().expect("one connection at a time");
                    self.talk.event(Event::Resumed(Ok(Resumed { jid: jid(BALCONY), ledger })));
                }
                Some(Effect::Close(closed)) => {
                    assert!(!closed.finished || self.books.is_some(), "{closed:?}");
                    return false;
                }
                Some(_) => panic!("another effect"),
                None => return true,
            }
        }
    }

    /// The connection is lost; what settles still settles, and the books are kept.
    fn cut(&mut self) {
        self.talk.event(Event::Lost);
        self.took();
        self.settled = self.routed.len();
        self.talk.event(Event::Settled(self.settled - self.told));
        self.told = self.settled;
        self.books = self.books.take().or_else(|| self.talk.session.take_ledger());
        self.talk = connection();
        self.down.clear();
    }

    fn took(&mut self) {
        for letter in self.talk.session.take_proven() {
            let id = letter.stanza().head.id.as_ref().expect("an id");
            self.proven.push(id.parse().expect("a number"));
        }
    }

    /// So many bytes leave it.
    fn write(&mut self, bytes: usize) {
        let bytes = bytes.min(self.talk.session.output().len());
        self.down.extend_from_slice(&self.talk.session.output()[..bytes]);
        self.talk.event(Event::Written(bytes));
    }
}

/// A connection on which the client is known and has not said which stream it is.
fn connection() -> Talk {
    let mut settings = Settings::new("capulet.lit");
    settings.unacked = 5;
    let mut talk = Talk::new(settings, true, true).authenticated();
    talk.said();
    talk
}

/// Where counts begin: mostly so that they wrap.
fn bases() -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0), 3 => (0_u32..20).prop_map(|before| u32::MAX - before)]
}

/// The first so many bytes of it.
fn take(from: &mut Vec<u8>, bytes: usize) -> Vec<u8> {
    from.drain(..bytes.min(from.len())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// L5, L7, N2, N3.
    #[test]
    fn l07_nothing_is_lost_and_nothing_comes_twice_on_streams_that_are_resumed(
        moves in moves(),
        base in bases(),
    ) {
        let (mut client, mut server) = (Client::new(base), Server::new(base));
        client.resume();
        // in the end all that is on its way arrives
        let end = [Move::Cut, Move::Settles(usize::MAX)];
        let flush = [Move::Up(usize::MAX), Move::Out(usize::MAX), Move::Down(usize::MAX), Move::Waits(11)];
        let flushes = std::iter::repeat_n(flush, 200).flatten();
        let end = end.into_iter().chain(flushes).chain([Move::Settles(usize::MAX), Move::Asks]);
        let moves = moves.into_iter().chain(end);
        for step in moves.chain([Move::Up(usize::MAX), Move::Out(usize::MAX), Move::Down(usize::MAX)]) {
            match step {
                Move::Says => {
                    if !client.resuming {
                        client.say(&stanza(client.next));
                    }
                    client.next += 1;
                }
                Move::Asks if !client.resuming => client.say("<r xmlns='urn:xmpp:sm:3'/>"),
                Move::Acknowledges if !client.resuming => {
                    client.say(&format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", client.h()));
                }
                Move::Asks | Move::Acknowledges => {}
                Move::Up(bytes) => {
                    if server.talk.session.wants_input() {
                        let bytes = take(&mut client.up, bytes);
                        server.talk.event(Event::Received(&bytes));
                    }
                }
                Move::Out(bytes) => server.write(bytes),
                Move::Down(bytes) => client.hear(&take(&mut server.down, bytes)),
                Move::Mail => server.last += 1,
                Move::Settles(count) => {
                    server.settled = server.settled.saturating_add(count).min(server.routed.len());
                }
                Move::Cut => {
                    server.cut();
                    client.resume();
                }
                Move::Waits(seconds) => server.talk.wait(seconds * SECOND),
            }
            if !server.turn() {
                server.cut();
                client.resume();
            }
            prop_assert!(client.has.iter().copied().eq(0..len(&client.has)), "{:?}", client.has);
            prop_assert!(server.routed.iter().copied().eq(0..len(&server.routed)));
            prop_assert!(client.acknowledged as usize <= server.settled, "told before it was safe");
            prop_assert!(server.proven.iter().copied().eq(0..len(&server.proven)));
            prop_assert!(server.proven.len() <= client.has.len());
        }
        prop_assert_eq!(len(&client.has), server.last);
        prop_assert_eq!(len(&server.routed), client.next);
        prop_assert_eq!(client.acknowledged, client.next);
        prop_assert_eq!(len(&server.proven), server.last);
    }
}

fn len(of: &[u32]) -> u32 {
    u32::try_from(of.len()).expect("few")
}
