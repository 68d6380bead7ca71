//! Random schedules against a simple reference: a client that keeps the rules, over a network that reorders,
//! repeats, cuts and loses. Whatever happens, each side gets all that the other sent, once and in order. Some
//! clients acknowledge, some use key sequences, and some speak for two accounts. And where the stream is managed in the
//! client's stead, its server is never told of a stanza that the client does not have.

use super::{keys::sequence, management::managed, *};
use proptest::{collection::vec, prelude::*};

/// What a client does beside sending and asking.
#[derive(Debug, Clone, Copy)]
struct Habits {
    acknowledges: bool,
    keys: bool,
    two_streams: bool,
    managed: bool,
}

/// A client that keeps the rules of XEP-0124, and the network before it.
struct World {
    talk: Talk,
    hold: usize,
    habits: Habits,
    /// The rest of the key sequence, in the order of use.
    keys: VecDeque<String>,
    sequences: usize,
    conns: u64,
    /// The next request of the client.
    rid: u64,
    /// Requests that the client has no answer to, as it sent them: attributes and payload.
    open: BTreeMap<u64, (String, String)>,
    /// Answers that the client has, from `heard` on.
    answers: BTreeMap<u64, String>,
    heard: u64,
    /// Copies of requests under way.
    requests: Vec<(u64, u64)>,
    /// Connections that wait at the session.
    waiting: Vec<(u64, u64)>,
    /// Answers under way.
    responses: Vec<(u64, String)>,
    up: usize,
    down: usize,
    /// On each stream.
    got: [String; 2],
    repeats: usize,
    /// Seconds since a request arrived.
    silence: u64,
}

impl World {
    fn new(hold: usize, habits: Habits) -> Self {
        let mut keys = VecDeque::new();
        let mut attributes = format!("hold='{hold}' wait='30'");
        if habits.acknowledges {
            attributes += " ack='1'";
        }
        if habits.keys {
            keys = sequence("first", 20).into();
            attributes += &format!(" newkey='{}'", keys.pop_front().expect("twenty"));
        }
        let (talk, heard) = match habits.managed {
            true => (managed(&attributes), FIRST + 4),
            false => (Talk::with(&attributes), FIRST),
        };
        let mut world = Self {
            talk,
            hold,
            habits,
            keys,
            sequences: 0,
            conns: 1_000,
            rid: heard + 1,
            open: BTreeMap::new(),
            answers: BTreeMap::new(),
            heard,
            requests: Vec::new(),
            waiting: Vec::new(),
            responses: Vec::new(),
            up: 0,
            down: 0,
            got: Default::default(),
            repeats: 0,
            silence: 0,
        };
        if habits.two_streams {
            world.second_stream();
        }
        world
    }

    /// Opens it, in peace, up to its features.
    fn second_stream(&mut self) {
        for wish in ["to='example.org'", ""] {
            let attributes = self.attributes() + wish;
            self.talk.on(self.rid, self.rid, &attributes, "");
            if wish.is_empty() {
                self.talk.other_server(1, HEADER).other_server(1, FEATURES);
            }
            assert_eq!(self.talk.answer().0, self.rid);
            self.heard = self.rid;
            self.rid += 1;
        }
        self.talk.further.clear();
        self.talk.after(5);
    }

    /// Which stream takes what has this number.
    fn stream(&self, number: usize) -> usize {
        if self.habits.two_streams { number % 2 } else { 0 }
    }

    /// What the server says, and how the client gets it.
    fn down(&self, number: usize) -> [String; 2] {
        match self.habits.managed {
            true => {
                let rest = format!("<d n='{number}' xmlns='x'/></message>");
                [format!("<message>{rest}"), format!("<message xmlns='jabber:client'>{rest}")]
            }
            false => {
                [format!("<d n='{number}' xmlns='x'/>"), format!("<d n='{number}' xmlns='x'/>")]
            }
        }
    }

    /// How many stanzas the server of a managed stream knows to have arrived, and how many have.
    fn arrived(&self) -> (usize, usize) {
        let (_, told) = self.talk.written.rsplit_once(" h='").unwrap_or(("", "0'"));
        let told = told.split('\'').next().and_then(|h| h.parse().ok()).expect("a number");
        // One came when it began.
        (told, 1 + self.got[0].matches("<message ").count())
    }

    fn up(number: usize) -> String {
        format!("<u n='{number}' xmlns='x'/>")
    }

    /// One thing happens; `pick` chooses among the ways it can.
    fn step(&mut self, what: u8, pick: usize) {
        match what {
            0..=2 => self.client_sends(true),
            3 => self.client_sends(false),
            4..=7 => self.request_arrives(pick),
            8..=10 => self.response_arrives(pick),
            // Now and then as much as a server sends ahead.
            12 if pick == 0 => (0..80).for_each(|_| self.server_sends()),
            11..=12 => self.server_sends(),
            13 if self.repeats < 20 => self.request_lost(pick),
            14 if self.repeats < 20 => self.response_lost(pick),
            15 if self.repeats < 20 => self.connection_cut(pick),
            _ => self.time_passes(1 + pick as u64 % 5),
        }
    }

    fn client_sends(&mut self, brings: bool) {
        // An answer has to be still there to be asked for: XEP-0124 14.3.
        let room = self.open.first_key_value().is_none_or(|(first, _)| {
            self.rid < first + self.hold as u64 + 1 && self.open.len() < self.hold + 1
        });
        if !room || (!brings && self.open.len() >= self.hold) {
            return;
        }
        let payload = if brings {
            self.up += 1;
            Self::up(self.up)
        } else {
            self.time_passes(2);
            String::new()
        };
        let mut attributes = self.attributes();
        if brings && self.habits.two_streams {
            let id = StreamId(self.stream(self.up) as u64);
            attributes += &format!(" stream='{}'", stream::name("SID", id));
        }
        self.open.insert(self.rid, (attributes, payload));
        self.sends(self.rid);
        self.rid += 1;
    }

    /// XEP-0124 9.2 and 15.4 for the next request.
    fn attributes(&mut self) -> String {
        let mut attributes = String::new();
        if self.habits.acknowledges && self.heard + 1 < self.rid {
            attributes += &format!("ack='{}' ", self.heard);
        }
        if self.habits.keys {
            attributes += &format!("key='{}' ", self.keys.pop_front().expect("never empty"));
            if self.keys.is_empty() {
                self.sequences += 1;
                self.keys = sequence(&self.sequences.to_string(), 20).into();
                attributes += &format!("newkey='{}'", self.keys.pop_front().expect("twenty"));
            }
        }
        attributes
    }

    fn sends(&mut self, rid: u64) {
        self.conns += 1;
        self.requests.push((self.conns, rid));
    }

    fn request_arrives(&mut self, pick: usize) {
        if self.requests.is_empty() {
            return;
        }
        let (conn, rid) = self.requests.remove(pick % self.requests.len());
        let Some((attributes, payload)) = self.open.get(&rid).cloned() else { return };
        self.waiting.push((conn, rid));
        self.silence = 0;
        self.talk.on(conn, rid, &attributes, &payload);
        self.collect();
    }

    fn server_sends(&mut self) {
        let stream = self.stream(self.down + 1) as u64;
        if !self.talk.session.reads(StreamId(stream)) {
            return;
        }
        self.down += 1;
        let [payload, _] = self.down(self.down);
        match stream {
            0 => self.talk.server(&payload),
            other => self.talk.other_server(other, &payload),
        };
        self.collect();
    }

    fn response_arrives(&mut self, pick: usize) {
        if self.responses.is_empty() {
            return;
        }
        let (rid, body) = self.responses.remove(pick % self.responses.len());
        if body.contains(" type='error'") {
            // XEP-0124 17.3: this one again, and those before it.
            self.repeat(rid);
            return;
        }
        if self.open.remove(&rid).is_none() {
            let before = self.answers.get(&rid);
            assert!(before.is_none_or(|before| *before == body), "two answers to {rid}");
            return;
        }
        self.answers.insert(rid, body);
        while let Some(body) = self.answers.get(&(self.heard + 1)) {
            self.heard += 1;
            let (tag, inner) = body.split_once('>').expect("a start tag");
            let stream = tag.contains(&*stream::name("SID", StreamId(1)));
            self.got[usize::from(stream)].push_str(inner.trim_end_matches("</body>"));
        }
    }

    fn repeat(&mut self, rid: u64) {
        self.repeats += 1;
        let again: Vec<_> = self.open.range(..=rid).map(|(rid, _)| *rid).collect();
        again.into_iter().for_each(|rid| self.sends(rid));
    }

    fn request_lost(&mut self, pick: usize) {
        if !self.requests.is_empty() {
            let (_, rid) = self.requests.remove(pick % self.requests.len());
            self.repeat(rid);
        }
    }

    fn response_lost(&mut self, pick: usize) {
        if !self.responses.is_empty() {
            let (rid, _) = self.responses.remove(pick % self.responses.len());
            self.repeat(rid);
        }
    }

    fn connection_cut(&mut self, pick: usize) {
        if !self.waiting.is_empty() {
            let (conn, rid) = self.waiting.remove(pick % self.waiting.len());
            self.talk.lose(conn);
            self.collect();
            self.repeat(rid);
        }
    }

    /// The network is slow, but not so slow that the session ends of inactivity: that is no loss.
    fn time_passes(&mut self, seconds: u64) {
        let late = |silence| silence + seconds >= Terms::default().inactivity.as_secs();
        // Of those under way some may be repeats that nobody waits for any more: they do not arrive.
        while late(self.silence) {
            if self.requests.is_empty() {
                return;
            }
            self.request_arrives(0);
        }
        self.silence += seconds;
        self.talk.after(seconds);
        self.collect();
    }

    fn collect(&mut self) {
        assert_eq!(self.talk.end, None, "{:?}", self.talk.answers);
        for (conn, body) in self.talk.answers() {
            let at = self.waiting.iter().position(|(one, _)| *one == conn).expect("it waits");
            let (_, rid) = self.waiting.remove(at);
            self.responses.push((rid, body));
        }
        assert!(self.waiting.len() <= 2 * self.hold + 2);
        let (told, arrived) = self.arrived();
        assert!(told <= arrived, "the server was told of {told} stanzas, the client has {arrived}");
    }

    /// From here on nothing goes wrong, so everything has to arrive.
    fn settle(&mut self) {
        for turn in 0.. {
            assert!(turn < 1_000, "it does not settle: {:?}", self.open);
            while !self.requests.is_empty() {
                self.request_arrives(0);
            }
            while !self.responses.is_empty() {
                self.response_arrives(0);
            }
            let further = self.talk.further.get(&1).map_or("", String::as_str);
            let up = [&*self.talk.written, further].map(|text| text.matches("<u ").count());
            let down = self.got.concat().matches("<d ").count();
            if (up[0] + up[1], down) == (self.up, self.down) {
                break;
            }
            self.client_sends(false);
            self.time_passes(10);
        }
        if self.habits.managed {
            self.catch_up();
        }
        let further = self.talk.further.remove(&1).unwrap_or_default();
        for (stream, written) in [self.talk.written(), further].into_iter().enumerate() {
            let of = |last| (1..=last).filter(|number| self.stream(*number) == stream);
            assert_eq!(written, of(self.up).map(Self::up).collect::<String>());
            let down: String = of(self.down).map(|n| self.down(n)[1].clone()).collect();
            assert_eq!(self.got[stream], down);
        }
    }

    /// Soon the server of a managed stream knows it all. Then its acknowledgements are forgotten.
    fn catch_up(&mut self) {
        for _ in 0..2 * self.hold + 3 {
            self.client_sends(true);
            while !self.requests.is_empty() {
                self.request_arrives(0);
            }
            while !self.responses.is_empty() {
                self.response_arrives(0);
            }
        }
        let (told, arrived) = self.arrived();
        assert_eq!(told, arrived);
        let parts = self.talk.written.split("<a xmlns='urn:xmpp:sm:3' h='");
        let rest = |part: &str| part.split_once("'/>").map_or("", |(_, rest)| rest).to_owned();
        let mut written = String::new();
        for (at, part) in parts.enumerate() {
            written += &if at == 0 { part.to_owned() } else { rest(part) };
        }
        self.talk.written = written;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn b13_nothing_is_lost_doubled_or_reordered(
        hold in 1_usize..=4,
        (acknowledges, keys, two_streams, managed) in any::<(bool, bool, bool, bool)>(),
        steps in vec((0_u8..17, 0_usize..64), 0..400),
    ) {
        // A sequence of keys would have to begin before the client is bound.
        let managed = managed && !keys;
        let mut world = World::new(hold, Habits { acknowledges, keys, two_streams, managed });
        for (what, pick) in steps {
            world.step(what, pick);
        }
        world.settle();
    }
}
