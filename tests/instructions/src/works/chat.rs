//! The whole server in memory: streams, sessions, the router with all modules, and the drivers between them.

use super::{MESSAGE, Once, xml::HEADER};
use memchr::memmem;
use net::pipe::Pipe;
use server::{Ephemeral, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
};

/// Messages that are on their way at a time.
pub(crate) const IN_FLIGHT: u64 = 16;

/// `\0romeo\0secret` and `\0juliet\0secret` in base64.
const ROMEO: &str = "AHJvbWVvAHNlY3JldA==";
const JULIET: &str = "AGp1bGlldABzZWNyZXQ=";

/// The next message is sent once the last one has come.
pub(crate) fn one_at_a_time() -> Once {
    conversation(1)
}

/// So many are sent at once.
pub(crate) fn many_at_a_time() -> Once {
    conversation(usize::try_from(IN_FLIGHT).expect("a few"))
}

fn conversation(messages: usize) -> Once {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (server, mut romeo, mut juliet) = runtime.block_on(async {
        let server = Ephemeral::new()
            .user("romeo@localhost", "secret")
            .user("juliet@localhost", "secret")
            .set("archive.default='never'")
            .without_listeners()
            .start()
            .await
            .expect("a server");
        let romeo = Client::enter(&server, ROMEO, "orchard").await;
        let juliet = Client::enter(&server, JULIET, "balcony").await;
        (server, romeo, juliet)
    });
    let said = MESSAGE.repeat(messages);
    Box::new(move || {
        let _server = &server;
        runtime.block_on(async {
            romeo.say(&said).await;
            juliet.hear("</message>", messages).await;
        });
    })
}

/// A client's end of a stream.
struct Client {
    pipe: Pipe,
    heard: Vec<u8>,
}

impl Client {
    /// Logs in and is available.
    async fn enter(server: &Server, plain: &str, resource: &str) -> Self {
        let mut client = Self { pipe: server.pipe(), heard: Vec::new() };
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>"
        );
        let bind = format!(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{resource}</resource></bind></iq>"
        );
        for (said, heard) in [
            (HEADER, "</stream:features>"),
            (&*auth, "<success"),
            (HEADER, "</stream:features>"),
            (&*bind, "</iq>"),
            ("<presence/>", "<presence "),
        ] {
            client.say(said).await;
            client.hear(heard, 1).await;
        }
        client
    }

    async fn say(&mut self, text: &str) {
        self.pipe.write_all(text.as_bytes()).await.expect("the server listens");
    }

    /// Waits until this text has come so many times.
    async fn hear(&mut self, text: &str, times: usize) {
        self.heard.clear();
        while memmem::find_iter(&self.heard, text).count() < times {
            let more = self.pipe.read_buf(&mut self.heard).await.expect("the server speaks");
            assert_ne!(more, 0, "the server has ended the stream");
        }
    }
}
