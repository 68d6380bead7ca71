//! TCP listeners with limits per address.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore, mpsc},
    time::timeout,
};

use crate::{
    address::{AddressBook, Permit, is_within},
    proxy,
};

/// Connections that wait to be accepted, as far as the system lets them. Many arrive in a burst after a restart, and one that
/// finds no room tries again a second later at the earliest (threat B05).
const BACKLOG: i32 = 4096;
/// How long to wait when the system is out of something, mostly file descriptors: accepting again at
/// once would fail again at once.
const PAUSE: Duration = Duration::from_millis(200);
/// After so much silence the system asks whether the peer is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(120);
/// Between two such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);

/// How long a proxy may take to say whose connection it brings.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// Connections whose proxies have yet to say so. Proxies are trusted; this only bounds what a broken one costs.
const HEADERS: usize = 1024;

/// A bound listener that counts connections per address.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    book: Arc<AddressBook>,
    proxies: Option<Proxies>,
}

/// Those who have to say whose connection they bring ([`proxy`]).
struct Proxies {
    networks: Vec<IpNet>,
    waiting: Arc<Semaphore>,
    done: mpsc::Sender<(TcpStream, SocketAddr)>,
    next: Mutex<mpsc::Receiver<(TcpStream, SocketAddr)>>,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program listens there.
    #[error("cannot listen on {0}: the port is in use")]
    InUse(SocketAddr),
    /// Ports below 1024 need a privilege.
    #[error("cannot listen on {0}: permission denied")]
    Denied(SocketAddr),
    /// Anything else, such as an address that this machine does not have.
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, #[source] io::Error),
}

impl Listener {
    /// Listens on an address, within a tokio runtime. `[::]` takes IPv4 too, and becomes `0.0.0.0` on a
    /// machine without IPv6.
    pub fn bind(address: SocketAddr, book: Arc<AddressBook>) -> Result<Self, BindError> {
        let bound = match socket_on(address) {
            Err(error) if is_any_v6(address) && is_without_v6(&error) => {
                socket_on((Ipv4Addr::UNSPECIFIED, address.port()).into())
            }
            bound => bound,
        };
        bound
            .and_then(|socket| {
                Ok(Self { address: socket.local_addr()?, socket, book, proxies: None })
            })
            .map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => BindError::InUse(address),
                io::ErrorKind::PermissionDenied => BindError::Denied(address),
                _ => BindError::Other(address, error),
            })
    }

    /// Connections from these networks have to begin with a header of the PROXY protocol, version 2; the address in it is
    /// the peer's for everything that follows. From anywhere else such a header is not understood (threat B08).
    #[must_use]
    pub fn behind(mut self, proxies: &[IpNet]) -> Self {
        let (done, next) = mpsc::channel(1);
        self.proxies = (!proxies.is_empty()).then(|| Proxies {
            networks: proxies.to_vec(),
            waiting: Arc::new(Semaphore::new(HEADERS)),
            done,
            next: Mutex::new(next),
        });
        self
    }

    /// The address listened on, with the port that the system chose where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next connection that the limits admit, with the peer's address (IPv4 as such) and its place in
    /// the count. Others are reset. Errors are survived, with a pause and a line in the log where
    /// the system is out of something. Cancel-safe.
    pub async fn accept(&self) -> (TcpStream, SocketAddr, Permit) {
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted.map(|accepted| (accepted, false)),
                introduced = introduced(&self.proxies) => Ok((introduced, true)),
            };
            let ((stream, peer), introduced) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    tracing::warn!(listener = %self.address, %error, "cannot accept connections");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            if !introduced
                && let Some(proxies) = &self.proxies
                && is_within(&proxies.networks, peer.ip())
            {
                proxies.listen_to(stream, peer);
                continue;
            }
            let outcome = match self.book.admit(peer.ip(), Instant::now()) {
                Ok(permit) => set_options(&stream).map(|()| permit).map_err(|e| e.to_string()),
                Err(refused) => {
                    // A reset, so that a flood leaves no sockets in TIME_WAIT.
                    let reset = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                    Err(reset.map_or_else(|error| error.to_string(), |()| refused.to_string()))
                }
            };
            match outcome {
                Ok(permit) => return (stream, peer, permit),
                Err(why) => {
                    tracing::debug!(listener = %self.address, %peer, %why, "closed at once")
                }
            }
        }
    }
}

/// The next connection whose proxy has said whose it is. Cancel-safe.
async fn introduced(proxies: &Option<Proxies>) -> (TcpStream, SocketAddr) {
    match proxies {
        Some(proxies) => {
            let next = proxies.next.lock().await.recv().await;
            next.expect("the listener holds the other end")
        }
        None => std::future::pending().await,
    }
}

impl Proxies {
    /// Reads the header in a task of its own: a slow proxy makes nobody wait.
    fn listen_to(&self, mut stream: TcpStream, proxy: SocketAddr) {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            tracing::warn!(%proxy, "too many connections without a PROXY header");
            return;
        };
        let done = self.done.clone();
        tokio::spawn(async move {
            let read = timeout(HEADER_TIME, proxy::read(&mut stream)).await;
            match read.unwrap_or_else(|late| Err(late.into())) {
                Ok(visitor) => {
                    let visitor = visitor.map_or(proxy, |visitor| SocketAddr::new(visitor, 0));
                    // An error is the end of the listener.
                    let _closed = done.send((stream, visitor)).await;
                }
                Err(error) => tracing::warn!(%proxy, %error, "no PROXY header"),
            }
            drop(place);
        });
    }
}

fn socket_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Or a restart would have to wait for connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    // Stanzas are small, and what can be written together is written together already.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

fn is_any_v6(address: SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V6(v6) if v6.is_unspecified())
}

/// The family is compiled out, or there but switched off.
fn is_without_v6(error: &io::Error) -> bool {
    /// EAFNOSUPPORT on Linux; the standard library has no kind for it.
    const FAMILY_NOT_SUPPORTED: i32 = 97;
    error.raw_os_error() == Some(FAMILY_NOT_SUPPORTED)
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Whether the error concerns the connection that was about to be accepted, and not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressLimits;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn book(per_address: u32) -> Arc<AddressBook> {
        let (total, new_per_minute) = (1000, 1000);
        AddressBook::new(AddressLimits { total, per_address, new_per_minute, trusted: Vec::new() })
    }

    fn listen(address: &str, per_address: u32) -> Listener {
        Listener::bind(address.parse().unwrap(), book(per_address)).unwrap()
    }

    #[tokio::test]
    async fn port_0_becomes_a_real_port() {
        let listener = listen("127.0.0.1:0", 1);
        assert_ne!(listener.local_addr().port(), 0);
        let (client, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr()), listener.accept());
        let (stream, peer, _permit) = accepted;
        assert_eq!(client.unwrap().local_addr().unwrap(), peer);
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }

    #[tokio::test]
    async fn any_address_takes_ipv4_and_tells_it_as_such() {
        let listener = listen("[::]:0", 1);
        let to = (Ipv4Addr::LOCALHOST, listener.local_addr().port());
        let (client, (_stream, peer, _permit)) =
            tokio::join!(TcpStream::connect(to), listener.accept());
        client.unwrap();
        assert_eq!(peer.ip(), Ipv4Addr::LOCALHOST);
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let first = listen("127.0.0.1:0", 1);
        let error = Listener::bind(first.local_addr(), book(1)).err().unwrap();
        assert!(matches!(error, BindError::InUse(_)));
        let port = first.local_addr().port();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on 127.0.0.1:{port}: the port is in use")
        );
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named() {
        let error = Listener::bind("192.0.2.1:0".parse().unwrap(), book(1)).err().unwrap();
        assert!(error.to_string().starts_with("cannot listen on 192.0.2.1:0: "), "{error}");
    }

    #[tokio::test]
    async fn a_connection_over_the_limit_is_closed_at_once() {
        let listener = listen("127.0.0.1:0", 1);
        let to = listener.local_addr();
        let (first, (_stream, _, permit)) = tokio::join!(TcpStream::connect(to), listener.accept());
        let mut refused = TcpStream::connect(to).await.unwrap();
        let next = tokio::spawn(async move { listener.accept().await.1 });
        let mut byte = [0];
        match refused.read(&mut byte).await {
            Ok(read) => assert_eq!(read, 0),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        drop((first, permit));
        let admitted = TcpStream::connect(to).await.unwrap();
        assert_eq!(next.await.unwrap(), admitted.local_addr().unwrap());
    }

    #[tokio::test]
    async fn b08_a_visitor_behind_a_proxy_is_counted_by_its_own_address() {
        let loopback: IpNet = "127.0.0.0/8".parse().unwrap();
        let listener = listen("127.0.0.1:0", 1).behind(&[loopback]);
        let to = listener.local_addr();
        let visitor: IpAddr = [203, 0, 113, 9].into();
        let connect = async || {
            let mut stream = TcpStream::connect(to).await.unwrap();
            stream.write_all(&proxy::header(Some(visitor), to)).await.unwrap();
            stream.write_all(b"<").await.unwrap();
            stream
        };
        // Whoever does not say whose it is holds up nobody.
        let silent = TcpStream::connect(to).await.unwrap();
        let (first, (mut stream, peer, permit)) = tokio::join!(connect(), listener.accept());
        assert_eq!(peer.ip(), visitor);
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"<");
        // The same visitor again is one too many; another is not.
        let second = connect().await;
        let mut other = TcpStream::connect(to).await.unwrap();
        other.write_all(&proxy::header(Some([203, 0, 113, 10].into()), to)).await.unwrap();
        assert_eq!(listener.accept().await.1.ip(), IpAddr::from([203, 0, 113, 10]));
        drop((first, second, permit, silent));
    }

    #[tokio::test]
    async fn b08_from_anywhere_else_the_header_is_not_looked_at() {
        let listener = listen("127.0.0.1:0", 1).behind(&["192.0.2.0/24".parse().unwrap()]);
        let to = listener.local_addr();
        let header = proxy::header(Some([203, 0, 113, 9].into()), to);
        let mut client = TcpStream::connect(to).await.unwrap();
        client.write_all(&header).await.unwrap();
        let (mut stream, peer, _permit) = listener.accept().await;
        assert_eq!(peer, client.local_addr().unwrap());
        let mut got = vec![0; header.len()];
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(got, header, "it is the stream's, which is no XML");
    }

    #[tokio::test]
    async fn a_restart_binds_the_port_while_old_connections_linger() {
        let listener = listen("127.0.0.1:0", 1);
        let to = listener.local_addr();
        let (client, (mut stream, _, permit)) =
            tokio::join!(TcpStream::connect(to), listener.accept());
        // The side that closes first is the one that lingers.
        stream.shutdown().await.unwrap();
        drop((stream, permit, listener));
        let mut rest = Vec::new();
        client.unwrap().read_to_end(&mut rest).await.unwrap();
        Listener::bind(to, book(1)).unwrap();
    }

    #[test]
    fn errors_of_one_connection_do_not_pause_the_listener() {
        let [emfile, enfile, econnaborted] = [24, 23, 103].map(io::Error::from_raw_os_error);
        assert!(is_of_one_connection(&econnaborted));
        assert!(!is_of_one_connection(&emfile) && !is_of_one_connection(&enfile));
    }

    #[test]
    fn a_machine_without_ipv6_is_recognised() {
        let [eafnosupport, eaddrnotavail, eaddrinuse] =
            [97, 99, 98].map(io::Error::from_raw_os_error);
        assert!(is_without_v6(&eafnosupport) && is_without_v6(&eaddrnotavail));
        assert!(!is_without_v6(&eaddrinuse));
    }
}
