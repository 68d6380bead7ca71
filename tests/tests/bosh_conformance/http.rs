//! The least of HTTP/1.1 and 1.0 that a connection manager needs.

use crate::{
    fault::Fault,
    manager::{Manager, Pending, Reply},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};

/// The longest body.
const BODY: usize = 256 * 1024;
/// How long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);

struct Request {
    method: String,
    /// Whether the connection ends with the answer.
    last: bool,
    body: Vec<u8>,
}

/// Serves one connection, one request after the other, except that a request that comes while one is held gives
/// that one back.
pub async fn serve(manager: Arc<Manager>, mut stream: DuplexStream) {
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = timeout(ARRIVAL, read(&mut stream, &mut buffer)).await {
        let Ok(request) = request else {
            let _gone = stream.write_all(&head(&manager, 413, &Reply::plain(""))).await;
            return;
        };
        let last = request.last;
        let (status, reply) = match request.method.as_str() {
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
        if stream.write_all(&head(&manager, status, &reply)).await.is_err() || last {
            return;
        }
    }
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
async fn read(stream: &mut DuplexStream, buffer: &mut Vec<u8>) -> Option<Result<Request, ()>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length = length.map_or(0, |length| length.parse().unwrap());
            if length > BODY {
                return Some(Err(()));
            }
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                let method = head.split(' ').next().unwrap().to_owned();
                return Some(Ok(Request { method, last: head.contains("HTTP/1.0"), body }));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn head(manager: &Manager, status: u16, reply: &Reply) -> Vec<u8> {
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
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
