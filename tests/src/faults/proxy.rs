//! A proxy for TCP that spoils what passes through it.

use super::Toxics;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Listens on a free port of loopback, at its server's address where that is there, and passes what comes on to one server. It ends when it is dropped, and its
/// connections with it.
pub struct FaultProxy {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// In front of this server. The plan says what happens to each connection, by its number in order of arrival.
    ///
    /// # Errors
    ///
    /// If no port can be listened on.
    pub async fn start(
        server: SocketAddr,
        plan: impl Fn(u64) -> Toxics + Send + 'static,
    ) -> io::Result<Self> {
        Self::before(watch::Sender::new(server).subscribe(), plan).await
    }

    /// In front of a server that may move: each connection goes to where it is when that connection comes.
    ///
    /// # Errors
    ///
    /// If no port can be listened on.
    pub async fn before(
        server: watch::Receiver<SocketAddr>,
        plan: impl Fn(u64) -> Toxics + Send + 'static,
    ) -> io::Result<Self> {
        let there = server.borrow().ip();
        let here = if there.is_loopback() { there } else { Ipv4Addr::LOCALHOST.into() };
        let listener = TcpListener::bind((here, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                // Without a listener clients are refused, which nobody overlooks.
                let Ok((client, _)) = listener.accept().await else { return };
                let (toxics, server) = (plan(number), *server.borrow());
                connections.spawn(async move {
                    // A server that is not there hangs up on its clients.
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    for stream in [&client, &server] {
                        // Bytes have to leave as they come; a connection that is gone shows at once.
                        let _gone = stream.set_nodelay(true);
                    }
                    toxics.relay(client, server).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, task })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Toxic;
    use std::time::{Duration, Instant};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    /// Longer than anything on loopback takes.
    const NEVER: Duration = Duration::from_millis(300);

    /// A client and a server with this between them.
    async fn pair(toxics: Toxics) -> (TcpStream, TcpStream, FaultProxy) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = FaultProxy::start(listener.local_addr().unwrap(), move |number| {
            assert_eq!(number, 0);
            toxics
        });
        let proxy = proxy.await.unwrap();
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (client, server, proxy)
    }

    async fn up(toxic: Toxic) -> (TcpStream, TcpStream, FaultProxy) {
        pair(Toxics { up: toxic, ..Toxics::NONE }).await
    }

    async fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        stream.read_exact(&mut read).await.unwrap();
        read
    }

    #[tokio::test]
    async fn without_a_toxic_bytes_and_both_ends_pass() {
        let (mut client, mut server, _proxy) = pair(Toxics::NONE).await;
        client.write_all(b"there").await.unwrap();
        client.shutdown().await.unwrap();
        let mut all = Vec::new();
        server.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"there");
        server.write_all(b"and back").await.unwrap();
        drop(server);
        assert_eq!(read(&mut client, 8).await, b"and back");
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_cut_resets_both_ends_after_so_many_bytes() {
        let (mut client, mut server, _proxy) = up(Toxic::Cut { after: 3 }).await;
        client.write_all(b"abcdef").await.unwrap();
        // A reset may overtake what was sent before it.
        let mut all = Vec::new();
        let error = server.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(b"abc".starts_with(&all[..]), "{all:?}");
        let error = client.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_half_close_ends_one_way_only() {
        let (mut client, mut server, _proxy) = up(Toxic::HalfClose { after: 3 }).await;
        client.write_all(b"abcdef").await.unwrap();
        let mut all = Vec::new();
        server.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"abc");
        server.write_all(b"back").await.unwrap();
        assert_eq!(read(&mut client, 4).await, b"back");
    }

    #[tokio::test]
    async fn a_black_hole_tells_nobody() {
        let (mut client, mut server, _proxy) = up(Toxic::BlackHole { after: 3 }).await;
        client.write_all(b"abcdef").await.unwrap();
        assert_eq!(read(&mut server, 3).await, b"abc");
        client.write_all(b"ghi").await.unwrap();
        client.shutdown().await.unwrap();
        let nothing = timeout(NEVER, server.read(&mut [0])).await;
        assert!(nothing.is_err(), "{nothing:?}");
        server.write_all(b"back").await.unwrap();
        assert_eq!(read(&mut client, 4).await, b"back");
    }

    #[tokio::test]
    async fn a_stall_ends_and_a_delay_delays() {
        let time = NEVER;
        for toxic in [Toxic::Stall { after: 3, time }, Toxic::Delay(time)] {
            let (mut client, mut server, _proxy) = up(toxic).await;
            let start = Instant::now();
            client.write_all(b"abcdef").await.unwrap();
            assert_eq!(read(&mut server, 6).await, b"abcdef");
            assert!(start.elapsed() >= time, "{toxic:?}");
        }
    }

    #[tokio::test]
    async fn dribbled_bytes_come_whole_in_the_end() {
        let (mut client, mut server, _proxy) = up(Toxic::Dribble).await;
        let sent = b"0123456789".repeat(200);
        client.write_all(&sent).await.unwrap();
        let mut block = vec![0; sent.len()];
        let first = server.read(&mut block).await.unwrap();
        assert!(first < sent.len(), "they came in one piece");
        server.read_exact(&mut block[first..]).await.unwrap();
        assert_eq!(block, sent);
    }

    #[tokio::test]
    async fn who_comes_after_the_server_has_moved_finds_it() {
        let here = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = watch::Sender::new(here.local_addr().unwrap());
        let proxy = FaultProxy::before(place.subscribe(), |_| Toxics::NONE).await.unwrap();
        let _before = TcpStream::connect(proxy.address()).await.unwrap();
        here.accept().await.unwrap();
        place.send_replace(there.local_addr().unwrap());
        let _after = TcpStream::connect(proxy.address()).await.unwrap();
        there.accept().await.unwrap();
    }

    #[test]
    fn in_an_outage_every_toxic_comes_and_a_client_gets_on_by_trying_again() {
        let mut dice = crate::faults::Dice::of(&[7]);
        let all: Vec<Toxics> = (0..1_000).map(|_| Toxics::outage(&mut dice)).collect();
        for way in [|toxics: &Toxics| toxics.up, |toxics: &Toxics| toxics.down] {
            let kinds: std::collections::HashSet<_> =
                all.iter().map(|toxics| std::mem::discriminant(&way(toxics))).collect();
            assert_eq!(kinds.len(), 7);
        }
        let well = all.iter().filter(|toxics| **toxics == Toxics::NONE).count();
        assert!((100..400).contains(&well), "{well}");
    }

    #[test]
    fn every_toxic_comes_of_some_seed_and_most_connections_are_well() {
        let all: Vec<Toxics> = (0..1_000).map(|number| Toxics::of(7, number)).collect();
        let kinds: std::collections::HashSet<_> =
            all.iter().map(|toxics| std::mem::discriminant(&toxics.up)).collect();
        assert_eq!(kinds.len(), 7);
        let well = all.iter().filter(|toxics| **toxics == Toxics::NONE).count();
        assert!((500..800).contains(&well), "{well}");
        assert_eq!(all[5], Toxics::of(7, 5));
    }
}
