//! The least of HTTP/1.1 and 1.0 that a connection manager needs.

use crate::{
    fault::Fault,
    manager::{Manager, Pending},
    reply::Reply,
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::{
    io::{Read, Write},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};
use xmpp_core::ns;

/// The longest body.
const BODY: usize = 256 * 1024;
/// How long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);
/// Answers from so many bytes on are compressed where they may be.
const WORTH: usize = 1_000;

struct Request {
    method: String,
    /// Whether the connection ends with the answer.
    last: bool,
    /// Whether the answer may be compressed.
    takes_gzip: bool,
    body: Vec<u8>,
}

/// Serves one connection, one request after the other, except that a request that comes while one is held gives
/// that one back. All sessions begin over a connection that is secure, and no other is served one.
pub async fn serve(manager: Arc<Manager>, mut stream: DuplexStream, secure: bool) {
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = timeout(ARRIVAL, read(&manager, &mut stream, &mut buffer)).await {
        let Ok(request) = request else {
            let _gone = stream.write_all(&written(&manager, 413, &Reply::plain(""), false)).await;
            return;
        };
        let Request { last, takes_gzip, .. } = request;
        let (status, reply) = match request.method.as_str() {
            "POST" if !(secure || manager.has(Fault::ServedOverHttp)) => {
                if request.body.windows(5).any(|five| five == b" sid=") {
                    return;
                }
                (200, elsewhere(&manager))
            }
            "POST" => {
                let asked = manager.request(&request.body);
                let Some(reply) = held(&manager, &mut stream, &mut buffer, asked).await else {
                    return;
                };
                (reply.status, reply)
            }
            "OPTIONS" => (204, Reply::plain("")),
            _ => (200, Reply::plain("BOSH is spoken here.")),
        };
        let written = written(&manager, status, &reply, takes_gzip);
        if stream.write_all(&written).await.is_err() || last {
            return;
        }
    }
}

/// What somebody is told who would begin a session over http.
fn elsewhere(manager: &Manager) -> Reply {
    let uri = match manager.has(Fault::Nowhere) {
        true => "",
        false => "<uri>https://localhost/http-bind</uri>",
    };
    Reply::plain(&format!(
        "<body xmlns='{}' type='terminate' condition='see-other-uri'>{uri}</body>",
        ns::HTTPBIND
    ))
}

/// Waits for the answer; `None` if the client hangs up first.
async fn held(
    manager: &Arc<Manager>,
    stream: &mut DuplexStream,
    buffer: &mut Vec<u8>,
    (mut answer, ticket): Pending,
) -> Option<Reply> {
    loop {
        tokio::select! {
            biased;
            reply = &mut answer => return reply.ok(),
            read = stream.read_buf(buffer) => match read {
                Ok(0) | Err(_) => return None,
                Ok(_) => manager.give_back(&ticket),
            },
        }
    }
}

/// The next request; `None` at the end of the connection, an error if it is too long.
async fn read(
    manager: &Manager,
    stream: &mut DuplexStream,
    buffer: &mut Vec<u8>,
) -> Option<Result<Request, ()>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length = length.map_or(0, |length| length.parse().unwrap());
            if length > BODY {
                return Some(Err(()));
            }
            if buffer.len() >= end + 4 + length {
                let mut body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                if head.contains("Content-Encoding: gzip") && !manager.has(Fault::GzipNotUndone) {
                    let packed = std::mem::take(&mut body);
                    GzDecoder::new(&packed[..]).read_to_end(&mut body).unwrap();
                }
                let method = head.split(' ').next().unwrap().to_owned();
                let last = head.contains("HTTP/1.0");
                let takes_gzip = head.contains("Accept-Encoding: gzip");
                return Some(Ok(Request { method, last, takes_gzip, body }));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn written(manager: &Manager, status: u16, reply: &Reply, takes_gzip: bool) -> Vec<u8> {
    let Reply { content, body, .. } = reply;
    let mut head = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: {content}\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'\r\nAccess-Control-Allow-Methods: POST\r\n\
         Access-Control-Allow-Headers: content-type\r\n"
    );
    if !(manager.has(Fault::NoCorsOnErrors) && body.contains("condition=")) {
        head += "Access-Control-Allow-Origin: *\r\n";
    }
    if !manager.has(Fault::Stored) {
        head += "Cache-Control: no-store\r\n";
    }
    if manager.has(Fault::Chunked) && body.contains("<message") {
        head += "Transfer-Encoding: chunked\r\n\r\n";
        return format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes();
    }
    let mut body = body.clone().into_bytes();
    if body.len() >= WORTH && (takes_gzip || manager.has(Fault::GzipUnasked)) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&body).unwrap();
        body = encoder.finish().unwrap();
        if manager.has(Fault::GzipCutShort) {
            body.truncate(body.len() - 9);
        }
        head += "Content-Encoding: gzip\r\n";
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}
