//! The servers behind the program: for each domain a way to its server, with TLS.

use super::{Connecting, Destination, Pipe, Upstream, Visitor};
use bytes::BytesMut;
use net::{
    proxy,
    service::{Resolver, Target},
    tls::client,
};
use rustls::ClientConfig;
use std::{borrow::Cow, collections::HashMap, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use xmpp_core::{
    jid::domain_to_ascii,
    ns,
    stream::{Header, write_initiating_header},
    xml::{Element, Frame, Framer, Limits, Scope},
};

/// How long one target may take, to its protected stream, before the next is tried.
const TARGET: Duration = Duration::from_secs(5);

/// A way to each domain's server. Whatever a client says, nothing else is looked up or connected to (threat B07).
#[derive(Debug)]
pub struct Servers {
    /// Ways to domains by name.
    pub named: HashMap<String, Arc<Way>>,
    /// The way to all others.
    pub others: Option<Arc<Way>>,
}

/// How a server is reached.
#[derive(Debug)]
pub struct Way {
    /// Where it is.
    pub place: Place,
    /// Where else clients may have it, each `HOST:PORT` (XEP-0124 7.1, `route`); none: whatever they say is ignored.
    pub routes: Vec<String>,
    /// Whether the header of the PROXY protocol comes first, with the visitor's address.
    pub proxy_protocol: bool,
}

/// Where a server is, and how the stream to it is protected.
pub enum Place {
    /// At `HOST:PORT`.
    Fixed(String, Protection),
    /// Where the domain's SRV records say, under TLS as they say (XEP-0368).
    LookUp(Arc<Resolver>, Trust),
}

/// How a stream to a fixed place is protected.
#[derive(Debug)]
pub enum Protection {
    /// Not at all; so only to this machine (XEP-0124 19.2).
    Loopback,
    /// By STARTTLS (RFC 6120 5), or there is no stream.
    StartTls(Trust),
    /// By TLS from the first byte.
    Direct(Trust),
}

/// Which certificates are good, for both ways into TLS. It has to be one of the domain's, whatever host it is found
/// on (RFC 6120 13.7.2.1).
#[derive(Debug, Clone)]
pub struct Trust {
    /// For STARTTLS.
    pub start_tls: Arc<ClientConfig>,
    /// For TLS from the first byte: with ALPN.
    pub direct: Arc<ClientConfig>,
}

impl Upstream for Servers {
    fn connect(&self, to: &Destination, visitor: Visitor) -> Connecting<'_> {
        let way = self.named.get(&to.domain).or(self.others.as_ref()).map(Arc::clone);
        let Destination { domain, route } = to.clone();
        Box::pin(async move {
            let way = way.ok_or(io::ErrorKind::NotFound)?;
            let route = way.route(route.as_deref())?;
            // Not "no such host": that the domain is served is known.
            way.open(route, &domain, visitor).await.map_err(io::Error::other)
        })
    }
}

impl Way {
    /// The allowed place that a client names, in the operator's words; `None`: the usual one. XEP-0124 17.2: what is not
    /// allowed is unknown.
    fn route(&self, named: Option<&str>) -> io::Result<Option<&str>> {
        let Some(named) = named.filter(|_| !self.routes.is_empty()) else { return Ok(None) };
        let place = named.strip_prefix("xmpp:");
        let is_named = |route: &&String| place.is_some_and(|one| one.eq_ignore_ascii_case(route));
        let known = self.routes.iter().find(is_named);
        known.map(|route| Some(&**route)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn open(
        &self,
        route: Option<&str>,
        domain: &str,
        visitor: Visitor,
    ) -> io::Result<Box<dyn Pipe>> {
        match &self.place {
            Place::Fixed(server, protection) => {
                let tls = match protection {
                    Protection::Loopback => None,
                    Protection::StartTls(trust) => Some((trust, false)),
                    Protection::Direct(trust) => Some((trust, true)),
                };
                self.try_all(route.unwrap_or(server), domain, visitor, tls).await
            }
            Place::LookUp(resolver, trust) => {
                if let Some(route) = route {
                    return self.try_all(route, domain, visitor, Some((trust, false))).await;
                }
                let mut failure = None;
                for Target { host, port, direct_tls } in resolver.clients(&ascii(domain)?).await? {
                    let server = format!("{host}:{port}");
                    match self.try_all(&server, domain, visitor, Some((trust, direct_tls))).await {
                        Ok(pipe) => return Ok(pipe),
                        Err(error) => {
                            tracing::debug!(%error, server, "the next target");
                            failure = Some(error);
                        }
                    }
                }
                Err(failure.unwrap_or_else(|| io::Error::other("no target")))
            }
        }
    }

    /// Connects to the first address of this server that will do.
    async fn try_all(
        &self,
        server: &str,
        domain: &str,
        visitor: Visitor,
        tls: Option<(&Trust, bool)>,
    ) -> io::Result<Box<dyn Pipe>> {
        let mut failure = io::Error::other("it has no address that is allowed without TLS");
        for address in lookup_host(server).await? {
            if tls.is_none() && !address.ip().to_canonical().is_loopback() {
                continue;
            }
            let open = async {
                let mut stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                if self.proxy_protocol {
                    stream.write_all(&proxy::header(visitor.address, address)).await?;
                }
                protect(stream, domain, tls).await
            };
            match timeout(TARGET, open).await.unwrap_or_else(|late| Err(late.into())) {
                Ok(pipe) => return Ok(pipe),
                Err(error) => failure = error,
            }
        }
        Err(io::Error::new(failure.kind(), format!("{server}: {failure}")))
    }
}

async fn protect(
    mut stream: TcpStream,
    domain: &str,
    tls: Option<(&Trust, bool)>,
) -> io::Result<Box<dyn Pipe>> {
    let Some((trust, direct)) = tls else { return Ok(Box::new(stream)) };
    let config = match direct {
        true => &trust.direct,
        false => {
            start_tls(&mut stream, domain).await?;
            &trust.start_tls
        }
    };
    Ok(Box::new(client::connect(stream, &ascii(domain)?, Arc::clone(config)).await?))
}

/// The domain as name servers and certificates have it (RFC 5890 2.3.2.1, RFC 9525 6.3).
fn ascii(domain: &str) -> io::Result<Cow<'_, str>> {
    domain_to_ascii(domain).ok_or_else(|| io::Error::other("the domain has no form in ASCII"))
}

/// Asks for TLS until the server says to proceed (RFC 6120 5.4.2). Nothing that comes in the clear goes further: the
/// stream begins anew under TLS.
async fn start_tls(stream: &mut TcpStream, domain: &str) -> io::Result<()> {
    let mut out = BytesMut::new();
    write_initiating_header(&mut out, domain, None, None);
    stream.write_all(&out).await?;
    let mut framer = Framer::new(Limits::BEFORE_AUTH);
    let (mut input, mut scope) = (BytesMut::new(), Scope::default());
    loop {
        let Some(frame) = framer.next(&mut input).map_err(io::Error::other)? else {
            if stream.read_buf(&mut input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            continue;
        };
        let element = match frame {
            Frame::Whitespace => continue,
            Frame::Header(raw) => {
                let header = Header::parse(raw, ns::CLIENT, &Limits::BEFORE_AUTH);
                scope =
                    header.map_err(|_| io::Error::other("the server does not speak XMPP"))?.scope;
                continue;
            }
            Frame::Footer => return Err(io::Error::other("the server ended the stream")),
            Frame::Element(raw) => Element::check(raw, &scope, &Limits::BEFORE_AUTH),
        };
        let element = element.map_err(io::Error::other)?;
        if element.is(ns::STREAMS, "features") {
            // RFC 6120 5.3.1: without the offer there is no asking, and without TLS no stream.
            if !element.children().any(|child| child.is(ns::TLS, "starttls")) {
                return Err(io::Error::other("the server does not offer STARTTLS"));
            }
            stream.write_all(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        } else if element.is(ns::TLS, "proceed") {
            // RFC 6120 5.4.3.3; what came behind it was not protected (threat T01).
            return match input.is_empty() {
                true => Ok(()),
                false => Err(io::Error::other("something came between STARTTLS and TLS")),
            };
        } else {
            return Err(io::Error::other("the server refuses STARTTLS"));
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(server, protection) => {
                f.debug_tuple("Fixed").field(server).field(protection).finish()
            }
            Self::LookUp(..) => f.write_str("LookUp"),
        }
    }
}
