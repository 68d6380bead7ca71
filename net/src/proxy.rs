//! The PROXY protocol, version 2: a proxy tells the server behind it whose connection it carries, in a header before
//! the first byte (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.2).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const VERSION: u8 = 0x20;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP_V4: u8 = 0x11;
const TCP_V6: u8 = 0x21;
/// Bytes behind the fixed part that are read: addresses and a few extensions. The format would allow 65,535.
const LENGTH: u16 = 1_024;

/// The header for a connection to `destination` that is made for a visitor at `source`; or, without one, for the
/// proxy's own purposes. The visitor's port is not told.
pub fn header(source: Option<IpAddr>, destination: SocketAddr) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    let Some(source) = source else {
        out.extend([LOCAL, 0, 0, 0]);
        return out;
    };
    match (source.to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(to)) => {
            out.extend([PROXY, TCP_V4, 0, 12]);
            out.extend(source.octets());
            out.extend(to.octets());
        }
        (source, to) => {
            out.extend([PROXY, TCP_V6, 0, 36]);
            out.extend(v6(source).octets());
            out.extend(v6(to).octets());
        }
    }
    out.extend([0, 0]);
    out.extend(destination.port().to_be_bytes());
    out
}

/// Reads the header that has to come first, and not a byte more. Gives the visitor's address; `None` where the
/// connection is the proxy's own, or no address is told. It waits as long as the other side takes.
///
/// # Errors
/// The connection broke, or something else came.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<IpAddr>> {
    let mut fixed = [0; 16];
    stream.read_exact(&mut fixed).await?;
    let [.., command, family, high, low] = fixed;
    let length = u16::from_be_bytes([high, low]);
    if fixed[..12] != SIGNATURE || command & 0xf0 != VERSION || length > LENGTH {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no PROXY header, version 2"));
    }
    let mut rest = vec![0; length.into()];
    stream.read_exact(&mut rest).await?;
    let short = || io::Error::new(io::ErrorKind::InvalidData, "a PROXY header without addresses");
    match (command, family) {
        (LOCAL, _) => Ok(None),
        (PROXY, TCP_V4) if length >= 12 => {
            let source = rest.first_chunk::<4>().ok_or_else(short)?;
            Ok(Some(Ipv4Addr::from(*source).into()))
        }
        (PROXY, TCP_V6) if length >= 36 => {
            let source = rest.first_chunk::<16>().ok_or_else(short)?;
            Ok(Some(IpAddr::from(Ipv6Addr::from(*source)).to_canonical()))
        }
        (PROXY, TCP_V4 | TCP_V6) => Err(short()),
        (PROXY, _) => Ok(None),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a PROXY command that is not known")),
    }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn taken(mut bytes: &[u8]) -> (io::Result<Option<IpAddr>>, &[u8]) {
        (read(&mut bytes).await, bytes)
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_nothing_behind_it() {
        let [v4, v6] = ["192.0.2.7:5222", "[2001:db8::1]:5222"].map(|to| to.parse().unwrap());
        for to in [v4, v6] {
            for from in ["198.51.100.1", "2001:db8:7::9"].map(|from| from.parse().unwrap()) {
                let mut bytes = header(Some(from), to);
                bytes.extend(b"<stream");
                let (source, rest) = taken(&bytes).await;
                assert_eq!((source.unwrap(), rest), (Some(from), &b"<stream"[..]), "{from} {to}");
            }
            let bytes = header(None, to);
            assert_eq!(taken(&bytes).await.0.unwrap(), None);
        }
    }

    #[test]
    fn the_example_of_the_specification() {
        let header = header(Some([192, 0, 2, 7].into()), "198.51.100.1:5222".parse().unwrap());
        let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
        assert_eq!(
            header,
            [&fixed[..], &[192, 0, 2, 7, 198, 51, 100, 1, 0, 0, 0x14, 0x66]].concat()
        );
    }

    #[tokio::test]
    async fn extensions_are_passed_over() {
        let mut bytes = header(Some([192, 0, 2, 7].into()), "198.51.100.1:5222".parse().unwrap());
        bytes[15] += 5;
        bytes.extend([0x04, 0, 2, 0, 0]);
        bytes.push(b'<');
        let (source, rest) = taken(&bytes).await;
        assert_eq!((source.unwrap(), rest), (Some([192, 0, 2, 7].into()), &b"<"[..]));
    }

    #[tokio::test]
    async fn b08_anything_else_is_refused() {
        let good = header(Some([192, 0, 2, 7].into()), "198.51.100.1:5222".parse().unwrap());
        let change = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            bytes
        };
        for (bytes, why) in [
            (b"<?xml version='1.0'?><stream:stream".to_vec(), "no header"),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n".to_vec(), "version 1"),
            (change(12, 0x11), "version 1 in the form of version 2"),
            (change(12, 0x22), "a command that is not known"),
            (change(13, TCP_V6), "too short for its family"),
            (change(14, 0xff), "65 KiB"),
            (good[..20].to_vec(), "cut off"),
        ] {
            assert!(taken(&bytes).await.0.is_err(), "{why}");
        }
    }
}
