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
use crate::{
    driver::{Asking, Delivery},
    gauges::limit,
    websocket::driver::Guest,
};
use bytes::{Bytes, BytesMut};
use http::{
    Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName},
};
use std::{
    future::poll_fn,
    io::{self, IoSlice, Write},
    mem::MaybeUninit,
    pin::Pin,
    task::{Poll, ready},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
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
pub(super) fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: &Peer,
    site: &Site,
    shutdown: &CancellationToken,
) -> impl Future<Output = Next<S>> {
    // No `async fn`, which would hold all arguments twice.
    let mut line = Line { stream, input: BytesMut::new() };
    async move {
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
            let judged = {
                let head = timeout(site.patience, line.head(site.head_bytes, shutdown)).await;
                head.unwrap_or_else(|_| line.late()).map(|head| {
                    head.map(|Head { request, length, stays, waits }| {
                        let is_head = request.method() == Method::HEAD;
                        let asked = site.ask(&request, peer);
                        (asked, request.version(), is_head, length, stays, waits)
                    })
                })
            };
            let (asked, version, is_head, length, stays, waits) = match judged {
                Ok(Some(judged)) => judged,
                Ok(None) => return Next::Nothing,
                Err(fault) => {
                    Box::pin(line.refuse(fault, site)).await;
                    return Next::Nothing;
                }
            };
            let mut whole = length == Some(0);
            let (reply, pushed) = match asked {
                Asked::Reply(reply) => (*reply, None),
                Asked::WebSocket(reply, guest) if whole => {
                    // For who does not take it the end does not wait.
                    let answer = line.answer(*reply, is_head, "upgrade");
                    return match Box::pin(guest.unless_killed(answer)).await {
                        Some(Ok(())) => Next::WebSocket(guest, line.into_begun()),
                        Some(Err(_)) | None => Next::Nothing,
                    };
                }
                Asked::WebSocket(..) => {
                    Box::pin(line.refuse(Fault::Malformed, site)).await;
                    return Next::Nothing;
                }
                Asked::Post(post) => {
                    match timeout(site.patience, line.body(length, site, waits)).await {
                        Ok(Ok(Some(body))) => {
                            whole = true;
                            match site.post(&post, body) {
                                Ok(mut asking) => {
                                    let Some(delivery) = line.wait(&mut asking).await else {
                                        return Next::Nothing;
                                    };
                                    (site.deliver(&post, delivery.answer), delivery.pushed)
                                }
                                Err(refusal) => (*refusal, None),
                            }
                        }
                        Ok(Err(_)) => return Next::Nothing,
                        refused => {
                            let limit = if refused.is_err() { limit::TIME } else { limit::BODY };
                            (site.over(&post, limit), None)
                        }
                    }
                }
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
            Box::pin(self.write(CONTINUE, &[])).await?;
        }
        // It grows with what comes, not with what is announced.
        while self.input.len() < length {
            self.read().await?;
        }
        Ok(Some(self.input.split_to(length)))
    }

    /// What a request is answered; `None`: nothing, and its client may be gone. When the next request has begun to arrive behind
    /// it, the answer comes at once: it is not read before (XEP-0124 18.1).
    async fn wait(&mut self, asking: &mut Asking) -> Option<Delivery> {
        let mut pressed = false;
        loop {
            tokio::select! {
                biased;
                delivery = &mut *asking => return delivery,
                more = self.more(), if !pressed => match more {
                    Ok(()) => {
                        pressed = true;
                        asking.press();
                    }
                    Err(_) => return None,
                },
            }
        }
    }

    /// Waits until there is something of the next request; an error where none comes.
    async fn more(&mut self) -> io::Result<()> {
        loop {
            head::skip_empty_lines(&mut self.input);
            if !self.input.is_empty() {
                return Ok(());
            }
            self.read().await?;
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
    fn answer(
        &mut self,
        reply: Reply,
        is_head: bool,
        connection: &'static str,
    ) -> impl Future<Output = io::Result<()>> {
        // Before it waits, so that it does not hold the reply in two forms.
        let head = written(&reply, connection);
        let body = if is_head { Bytes::new() } else { reply.into_body() };
        async move { self.write(&head, &body).await }
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

/// The head of a reply, as it is sent (RFC 9112 4, 5).
fn written(reply: &Reply, connection: &'static str) -> Vec<u8> {
    const ALL: &str = "a vector takes all";
    let (status, body) = (reply.status(), reply.body());
    let mut head = Vec::with_capacity(512);
    let mut put =
        |pieces: [&[u8]; 4]| pieces.iter().for_each(|piece| head.extend_from_slice(piece));
    let reason = status.canonical_reason().unwrap_or_default();
    put([b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", reason.as_bytes()]);
    // Where both say what becomes of the connection, it is the caller who knows.
    let said = |name: &HeaderName| *name == CONNECTION && !connection.is_empty();
    for (name, value) in reply.headers().iter().filter(|(name, _)| !said(name)) {
        put([b"\r\n", name.as_str().as_bytes(), b": ", value.as_bytes()]);
    }
    if !connection.is_empty() {
        put([b"\r\n", CONNECTION.as_str().as_bytes(), b": ", connection.as_bytes()]);
    }
    if !status.is_informational() && status != StatusCode::NO_CONTENT {
        write!(head, "\r\n{CONTENT_LENGTH}: {}", body.len()).expect(ALL);
    }
    let date = httpdate::HttpDate::from(SystemTime::now()); // RFC 9110 6.6.1
    write!(head, "\r\n{DATE}: {date}\r\n\r\n").expect(ALL);
    head
}
