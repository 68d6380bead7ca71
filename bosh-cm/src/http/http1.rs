//! HTTP/1 (RFC 9112): one request after the other on one connection.
//!
//! What is read is read onto the stack, and of that only what is of use is kept; answers are written from where they are. So a
//! connection that waits, between requests or with one that is held, has no buffer.

use super::{
    Asked, Peer, Site,
    begun::Begun,
    head::{self, Fault, Head},
    patience::WRITE_TIME,
    reply::Reply,
};
use crate::{gauges::limit, websocket::driver::Guest};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, DATE},
};
use std::{
    future::{pending, poll_fn},
    io::{self, IoSlice, Write},
    mem::MaybeUninit,
    pin::Pin,
    task::{Poll, ready},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::Notify,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// The first bytes of HTTP/2 (RFC 9113 3.4): as a request of HTTP/1 they would be none.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes read at once.
const READ: usize = 16_384;
/// Bytes that a client may still send once its request is refused, since an answer to who sends gets lost when the connection
/// closes.
const DROPPED: usize = 16_777_216;
/// For a client that asks whether it may send what it announced (RFC 9110 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What comes of a connection after its last request of HTTP/1.
pub(super) enum Next<S> {
    /// It is over.
    Nothing,
    /// It speaks HTTP/2.
    Http2(Begun<S>),
    /// It is a WebSocket.
    WebSocket(Guest, Begun<S>),
}

/// Serves the requests of a connection, one after the other. From `shutdown` on it takes no further one.
///
/// What is rare, and what waits for an answer, has a box of its own: a connection takes the memory of what it does.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: &Peer,
    site: &Site,
    shutdown: &CancellationToken,
) -> Next<S> {
    let mut line = Line { stream, input: BytesMut::new() };
    tokio::select! {
        first = timeout(site.patience, line.is_http2()) => match first {
            Ok(Ok(true)) => return Next::Http2(line.into_begun()),
            Ok(Ok(false)) => {}
            Ok(Err(_)) | Err(_) => return Next::Nothing,
        },
        () = shutdown.cancelled() => return Next::Nothing,
    }
    loop {
        // The head is of no use any more once it is judged, and a request may be held for long.
        let (asked, version, is_head, length, stays, waits) = {
            let head = timeout(site.patience, line.head(site.head_bytes, shutdown)).await;
            match head.unwrap_or_else(|_| line.late()) {
                Ok(Some(Head { request, length, stays, waits })) => {
                    let is_head = request.method() == Method::HEAD;
                    let asked = site.ask(&request, peer);
                    (asked, request.version(), is_head, length, stays, waits)
                }
                Ok(None) => return Next::Nothing,
                Err(fault) => {
                    Box::pin(line.refuse(fault, site)).await;
                    return Next::Nothing;
                }
            }
        };
        let mut whole = length == Some(0);
        let (reply, pushed) = match asked {
            Asked::Reply(reply) => (reply, None),
            Asked::WebSocket(reply, guest) if whole => {
                // For who does not take it the end does not wait.
                let answer = line.answer(reply, is_head, "upgrade");
                return match Box::pin(guest.unless_killed(answer)).await {
                    Some(Ok(())) => Next::WebSocket(guest, line.into_begun()),
                    Some(Err(_)) | None => Next::Nothing,
                };
            }
            Asked::WebSocket(..) => {
                Box::pin(line.refuse(Fault::Malformed, site)).await;
                return Next::Nothing;
            }
            Asked::Post(post) => match timeout(site.patience, line.body(length, site, waits)).await
            {
                Ok(Ok(Some(body))) => {
                    whole = true;
                    let pressed = Notify::new();
                    let answered = tokio::select! {
                        biased;
                        answered = Box::pin(site.post(post, body, pressed.notified())) => answered,
                        () = line.follow(&pressed) => None,
                    };
                    let Some(answered) = answered else { return Next::Nothing };
                    answered
                }
                Ok(Err(_)) => return Next::Nothing,
                refused => {
                    let limit = if refused.is_err() { limit::TIME } else { limit::BODY };
                    (site.over(post, limit), None)
                }
            },
        };
        let stays = stays && whole && !shutdown.is_cancelled();
        let connection = match (stays, version) {
            (false, _) => "close",
            (true, Version::HTTP_10) => "keep-alive",
            (true, _) => "",
        };
        if line.answer(reply, is_head, connection).await.is_err() {
            return Next::Nothing;
        }
        if let Some(since) = pushed {
            site.manager.delivered(since);
        }
        if !stays {
            Box::pin(line.end(whole, site.patience)).await;
            return Next::Nothing;
        }
    }
}

/// A connection and what was read of it too early.
struct Line<S> {
    stream: S,
    input: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// Whether it begins as HTTP/2 does, as far as that has to be known.
    async fn is_http2(&mut self) -> io::Result<bool> {
        loop {
            let both = self.input.len().min(PREFACE.len());
            if self.input[..both] != PREFACE[..both] {
                return Ok(false);
            }
            if both == PREFACE.len() {
                return Ok(true);
            }
            self.read().await?;
        }
    }

    /// The head of the next request; `None`: nothing comes any more, or nothing has to.
    async fn head(
        &mut self,
        max: usize,
        shutdown: &CancellationToken,
    ) -> Result<Option<Head>, Fault> {
        let mut seen = 0;
        loop {
            head::skip_empty_lines(&mut self.input);
            let quiet = self.input.is_empty();
            if !quiet && let Some(head) = head::take(&mut self.input, &mut seen, max)? {
                return Ok(Some(head));
            }
            tokio::select! {
                read = self.read() => if read.is_err() { return Ok(None) },
                () = shutdown.cancelled(), if quiet => return Ok(None),
            }
        }
    }

    /// No head has come in time.
    fn late(&self) -> Result<Option<Head>, Fault> {
        if self.input.is_empty() { Ok(None) } else { Err(Fault::Slow) }
    }

    /// A body of this length; `None` if it is larger than allowed. `waits`: the client wants to be told to send it.
    async fn body(
        &mut self,
        length: Option<u64>,
        site: &Site,
        waits: bool,
    ) -> io::Result<Option<BytesMut>> {
        let length = length.and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| *length <= site.manager.body_bytes()) else {
            return Ok(None);
        };
        if waits && self.input.is_empty() {
            self.write(CONTINUE, &[]).await?;
        }
        // It grows with what comes, not with what is announced.
        while self.input.len() < length {
            self.read().await?;
        }
        Ok(Some(self.input.split_to(length)))
    }

    /// Tells when the next request has begun to arrive behind the one that is being answered: it is not read before
    /// (XEP-0124 18.1). Returns when the client is gone.
    async fn follow(&mut self, pressed: &Notify) {
        loop {
            head::skip_empty_lines(&mut self.input);
            if !self.input.is_empty() {
                pressed.notify_one();
                return pending().await;
            }
            if self.read().await.is_err() {
                return;
            }
        }
    }

    /// Answers what is no request, and ends the connection.
    async fn refuse(mut self, fault: Fault, site: &Site) {
        debug!(%fault, "no request");
        match fault {
            Fault::Malformed => {}
            Fault::TooLarge => site.manager.gauges.limits.add(limit::HEAD),
            Fault::Slow => site.manager.gauges.limits.add(limit::TIME),
        }
        let mut reply = Response::new(Bytes::new());
        *reply.status_mut() = fault.status();
        if self.answer(reply, false, "close").await.is_ok() {
            self.end(false, site.patience).await;
        }
    }

    /// Writes an answer, its body too unless the request was for the head alone; and what becomes of the connection, where
    /// that has to be said.
    async fn answer(
        &mut self,
        reply: Reply,
        is_head: bool,
        connection: &'static str,
    ) -> io::Result<()> {
        let (mut head, body) = reply.into_parts();
        if !connection.is_empty() {
            head.headers.insert(CONNECTION, HeaderValue::from_static(connection));
        }
        let bodiless = head.status.is_informational() || head.status == StatusCode::NO_CONTENT;
        if !bodiless {
            head.headers.insert(CONTENT_LENGTH, body.len().into());
        }
        let date = httpdate::fmt_http_date(SystemTime::now()); // RFC 9110 6.6.1
        head.headers.insert(DATE, date.try_into().expect("a date is text"));
        let mut text = Vec::with_capacity(512);
        let reason = head.status.canonical_reason().unwrap_or_default();
        write!(text, "HTTP/1.1 {} {reason}\r\n", head.status.as_str())?;
        for (name, value) in &head.headers {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        self.write(&text, if is_head { &[] } else { &body }).await
    }

    /// Writes both in one piece, as far as the client takes any of it within [`WRITE_TIME`] each time (threat B05).
    async fn write(&mut self, mut head: &[u8], mut body: &[u8]) -> io::Result<()> {
        while !head.is_empty() || !body.is_empty() {
            let both = [IoSlice::new(head), IoSlice::new(body)];
            let wrote = timeout(WRITE_TIME, self.stream.write_vectored(&both)).await??;
            if wrote == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let of_head = wrote.min(head.len());
            head = &head[of_head..];
            body = &body[wrote - of_head..];
        }
        timeout(WRITE_TIME, self.stream.flush()).await?
    }

    /// Reads on; an error where nothing more comes.
    async fn read(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            if self.input.is_empty() {
                self.input = BytesMut::new();
            }
            let mut space = [MaybeUninit::uninit(); READ];
            let mut space = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
            self.input.extend_from_slice(space.filled());
            Poll::Ready(match space.filled() {
                [] => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(()),
            })
        })
        .await
    }

    /// Says that nothing more is said. Unless the request came `whole` the client may end what it sends, within this time: a
    /// connection that is closed with something unread is reset, and the last answer lost with it (RFC 9112 9.6).
    async fn end(mut self, whole: bool, patience: Duration) {
        let ended = async {
            self.stream.shutdown().await?;
            let mut dropped = 0;
            while !whole && dropped < DROPPED {
                self.input.clear();
                self.read().await?;
                dropped += self.input.len();
            }
            io::Result::Ok(())
        };
        // However it ends, it is over.
        let _ended = timeout(patience, ended).await;
    }

    fn into_begun(self) -> Begun<S> {
        Begun::new(self.input, self.stream)
    }
}
