//! The elements of stream management (XEP-0198) on a client's stream.

use super::{
    Effect, End,
    ledger::{Ledger, Terms, TooHigh},
    stage::{Bound, ExpectBind, ExpectResume, Stage, Stream, Transition},
};
use router::Letter;
use std::time::Duration;
use xmpp_core::{
    Jid, StreamError,
    error::{StanzaCondition, StreamCondition},
    ns,
    xml::{Element, Writer},
};

/// Bytes of an SM-ID that a client may show: ours are far shorter, and XEP-0198 5 allows no longer ones.
const TOKEN_MAX: usize = 4_000;

/// A stream that is resumed: whose it is, and its books.
pub(crate) struct Resumed {
    pub(crate) jid: Jid,
    pub(crate) ledger: Box<Ledger>,
}

/// Anything of stream management where it is out of place: before authentication, or before a resource is bound
/// (XEP-0198 3). The stream goes on.
pub(super) fn refuse_early(stage: Stage, stream: &mut Stream) -> Transition {
    refuse(StanzaCondition::UnexpectedRequest, None, stream);
    Ok(stage.into())
}

impl Bound {
    /// An element of stream management on a bound stream.
    pub(super) fn on_management(self, element: &Element, stream: &mut Stream) -> Transition {
        let effect = match element.name() {
            "enable" => enable(element, stream),
            "r" if stream.ledger.is_some() => {
                if let Some(ledger) = &mut stream.ledger {
                    let h = ledger.answer();
                    faults::site!("ack-asked-for");
                    write_count("a", h, None, stream);
                }
                None
            }
            "a" if stream.ledger.is_some() => {
                // XEP-0198 4: it must say how many
                let h = count(element).ok_or(StreamCondition::BadFormat)?;
                stream.acknowledge(h)?;
                None
            }
            // XEP-0198 3: once bound, a stream is nobody else's any more; nothing is counted before it is enabled
            "resume" | "r" | "a" => {
                refuse(StanzaCondition::UnexpectedRequest, None, stream);
                None
            }
            _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
        };
        Ok(super::stage::Step { next: Stage::Bound(self), effect })
    }
}

impl ExpectBind {
    /// An element of stream management instead of a request to bind (XEP-0198 5).
    pub(super) fn on_management(self, element: &Element, stream: &mut Stream) -> Transition {
        match element.name() {
            "resume" => {}
            "enable" | "r" | "a" => return refuse_early(Stage::Bind(self), stream),
            _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
        }
        let token = element.attr("previd").filter(|token| token.len() <= TOKEN_MAX);
        let (Some(token), Some(h)) = (token, count(element)) else {
            refuse(StanzaCondition::BadRequest, None, stream);
            return self.retry();
        };
        if stream.host.settings().resume.is_zero() {
            refuse(StanzaCondition::FeatureNotImplemented, None, stream);
            return self.retry();
        }
        let Self { account, refused } = self;
        let effect = Effect::Resume(account.clone(), token.into());
        Ok(Stage::Resume(Box::new(ExpectResume { account, refused, h })).with(effect))
    }
}

impl ExpectResume {
    /// What the driver found. An error says how many stanzas of an earlier stream were handled, where that is known.
    pub(super) fn on_resumed(
        self,
        outcome: Result<Resumed, Option<u32>>,
        stream: &mut Stream,
    ) -> Transition {
        let Self { account, refused, h } = self;
        match outcome {
            Ok(Resumed { jid, ledger }) => {
                stream.resume(ledger, h)?;
                Ok(Stage::Bound(Bound { jid, pinged: false }).into())
            }
            Err(handled) => {
                refuse(StanzaCondition::ItemNotFound, handled, stream);
                // XEP-0198 5: it may bind a resource now
                ExpectBind { account, refused }.retry()
            }
        }
    }
}

impl Stream {
    /// Sends the client a stanza and keeps it until the client has it.
    pub(super) fn send(&mut self, letter: Letter) {
        letter.stanza().write(&mut self.output);
        faults::site!("letter-written");
        match &mut self.ledger {
            Some(ledger) => ledger.send(letter),
            None if letter.is_owed() => {
                let end = self.written + self.output.len() as u64;
                self.unwritten.push_back((end, letter));
            }
            None => {}
        }
    }

    /// What is due of acknowledgements and requests for them once there is nothing else to say: each is asked for in the
    /// same write as what it is about. Who acknowledges in time without that is not asked.
    pub(super) fn settle_up(&mut self) {
        let now = self.now;
        let Some(ledger) = &mut self.ledger else { return };
        let (due, asks) = (ledger.due(), ledger.asks(now));
        if let Some(h) = due {
            faults::site!("ack-due");
            write_count("a", h, None, self);
        }
        if asks {
            self.write(ASK);
        }
    }

    /// Asks the client what it has, whether or not there is news to expect: for a sign of life.
    pub(super) fn ask(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.ask(self.now);
            self.write(ASK);
        }
    }

    fn acknowledge(&mut self, h: u32) -> Result<(), End> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        faults::site!("letters-acknowledged");
        self.proven.extend(ledger.acknowledge(h, self.now).map_err(too_high)?);
        Ok(())
    }

    /// XEP-0198 5: the books of the former stream are those of this one.
    fn resume(&mut self, mut ledger: Box<Ledger>, h: u32) -> Result<(), End> {
        let handled = ledger.reconnect(self.now) + u32::from(faults::planted!("one_too_many"));
        let h = if faults::planted!("drop_on_resume") { ledger.sent() } else { h };
        let token = ledger.terms().map(|terms| terms.token.clone());
        self.ledger = Some(ledger);
        if !faults::planted!("repeat_on_resume") {
            self.acknowledge(h)?;
        }
        write_count("resumed", handled, token.as_deref().map(|token| ("previd", token)), self);
        let Self { ledger, output, .. } = self;
        for letter in ledger.iter().flat_map(|ledger| ledger.letters()) {
            letter.stanza().write(output);
        }
        self.promised = 0; // the client knows the SM-ID
        faults::site!("stream-resumed");
        Ok(())
    }
}

const ASK: &[u8] = b"<r xmlns='urn:xmpp:sm:3'/>";

/// XEP-0198 3
fn enable(element: &Element, stream: &mut Stream) -> Option<Effect> {
    if stream.ledger.is_some() {
        // At most one attempt. The stream error that is recommended would end a session whose books are in order.
        refuse(StanzaCondition::UnexpectedRequest, None, stream);
        return None;
    }
    let Some((resume, max)) = wishes(element) else {
        refuse(StanzaCondition::BadRequest, None, stream);
        return None;
    };
    let allowed = stream.host.settings().resume;
    let max = max.map_or(allowed, |max| max.min(allowed));
    let terms = (resume && !max.is_zero())
        .then(|| Terms { token: stream.host.token().into_boxed_str(), max });
    let mut enabled = Writer::new();
    enabled.open_ns("enabled", ns::STREAM_MANAGEMENT);
    if let Some(Terms { token, max }) = &terms {
        let max = max.as_secs().to_string();
        enabled.attr("id", token).attr("resume", "true").attr("max", &max);
    }
    stream.write(&enabled.finish());
    stream.promised = stream.written + stream.output.len() as u64;
    // Both counts begin here: what was received and sent before is not counted.
    stream.open.iter_mut().for_each(|count| *count = 0);
    faults::site!("management-enabled");
    let effect = Effect::Manage(terms.as_ref().map(|terms| terms.token.clone()));
    stream.ledger = Some(Box::new(Ledger::new(terms)));
    Some(effect)
}

/// Whether the stream is to be resumable, and for how long at most.
fn wishes(element: &Element) -> Option<(bool, Option<Duration>)> {
    let resume = match element.attr("resume").as_deref().map(str::trim) {
        None | Some("false" | "0") => false,
        Some("true" | "1") => true,
        Some(_) => return None,
    };
    let max = match element.attr("max") {
        None => None,
        // More seconds than can be counted are as good as any number.
        Some(max) if max.trim().bytes().all(|b| b.is_ascii_digit()) && !max.trim().is_empty() => {
            Some(Duration::from_secs(max.trim().parse().unwrap_or(u64::MAX)))
        }
        Some(_) => return None,
    };
    Some((resume, max))
}

/// The attribute `h`, an unsignedInt.
fn count(element: &Element) -> Option<u32> {
    element.attr("h")?.trim().parse().ok()
}

fn write_count(name: &'static str, h: u32, other: Option<(&str, &str)>, stream: &mut Stream) {
    let mut out = Writer::new();
    out.open_ns(name, ns::STREAM_MANAGEMENT).attr("h", &h.to_string());
    if let Some((name, value)) = other {
        out.attr(name, value);
    }
    stream.write(&out.finish());
}

/// XEP-0198 6: an error that the stream survives.
fn refuse(condition: StanzaCondition, handled: Option<u32>, stream: &mut Stream) {
    let mut out = Writer::new();
    out.open_ns("failed", ns::STREAM_MANAGEMENT);
    out.maybe("h", handled.map(|h| h.to_string()).as_deref());
    out.open_ns(condition.name(), ns::STANZA_ERRORS);
    stream.write(&out.finish());
}

/// XEP-0198 6, threat S03.
fn too_high(TooHigh { h, sent }: TooHigh) -> End {
    let mut details = Writer::new();
    details.open_ns("handled-count-too-high", ns::STREAM_MANAGEMENT);
    details.attr("h", &h.to_string()).attr("send-count", &sent.to_string());
    let error = StreamError::new(StreamCondition::UndefinedCondition)
        .with_text("more stanzas were acknowledged than sent");
    error.with_application(details.finish()).into()
}
