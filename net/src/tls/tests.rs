//! Handshakes over loopback and in memory, with the client of the same library.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, Ordering},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    client::Resumption,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::Instant,
};
use tokio_rustls::{TlsConnector, client};

use super::*;

const DOMAIN: &str = "a.example";
/// More than a handshake writes before it reads.
const PIPE: usize = 64 * 1024;

/// A client that trusts only the certificate in force.
fn client_of(
    tls: &Tls,
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(tls.in_force.0.load().cert[0].clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

fn name() -> ServerName<'static> {
    ServerName::try_from(DOMAIN).unwrap()
}

type Ends =
    (io::Result<client::TlsStream<DuplexStream>>, Result<TlsStream<DuplexStream>, TlsError>);

async fn shake(tls: &Tls, mode: Mode, config: ClientConfig) -> Ends {
    let (near, far) = duplex(PIPE);
    tokio::join!(
        TlsConnector::from(Arc::new(config)).connect(name(), near),
        tls.accept(far, mode, HANDSHAKE_DEADLINE)
    )
}

async fn echo(near: &mut client::TlsStream<DuplexStream>, far: &mut TlsStream<DuplexStream>) {
    near.write_all(b"<presence/>").await.unwrap();
    near.flush().await.unwrap();
    let mut text = [0; 11];
    far.read_exact(&mut text).await.unwrap();
    far.write_all(&text).await.unwrap();
    far.flush().await.unwrap();
    near.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"<presence/>");
}

#[tokio::test]
async fn both_versions_carry_bytes_both_ways() {
    let tls = Tls::ephemeral(&[DOMAIN]).unwrap();
    for version in [&TLS12, &TLS13] {
        for mode in [Mode::StartTls, Mode::Direct, Mode::Https] {
            let (near, far) = shake(&tls, mode, client_of(&tls, &[], &[version])).await;
            let (mut near, mut far) = (near.unwrap(), far.unwrap());
            assert_eq!(near.get_ref().1.protocol_version(), Some(version.version));
            echo(&mut near, &mut far).await;
            far.shutdown().await.unwrap();
            assert_eq!(near.read(&mut [0]).await.unwrap(), 0, "close_notify ends the stream");
        }
    }
}

#[tokio::test]
async fn t06_alpn_of_direct_tls_is_xmpp_client_or_none() {
    let tls = Tls::ephemeral(&[DOMAIN]).unwrap();
    let both: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
    let accepted: [(Mode, &[&str], Option<&str>); 8] = [
        (Mode::Direct, &["xmpp-client"], Some("xmpp-client")),
        (Mode::Direct, &["h2", "xmpp-client"], Some("xmpp-client")),
        (Mode::Direct, &[], None),
        (Mode::Https, &["http/1.1", "h2"], Some("h2")),
        (Mode::Https, &["http/1.1"], Some("http/1.1")),
        (Mode::Https, &[], None),
        (Mode::StartTls, &["xmpp-client"], None),
        (Mode::StartTls, &[], None),
    ];
    for (mode, offer, chosen) in accepted {
        let (near, far) = shake(&tls, mode, client_of(&tls, offer, both)).await;
        assert!(far.is_ok(), "{mode:?} {offer:?}");
        let near = near.unwrap();
        assert_eq!(
            near.get_ref().1.alpn_protocol(),
            chosen.map(str::as_bytes),
            "{mode:?} {offer:?}"
        );
    }
    for offer in [&["h2"][..], &["http/1.1", "h2"], &["xmpp-server"], &["xmpp-clien"]] {
        let (near, far) = shake(&tls, Mode::Direct, client_of(&tls, offer, both)).await;
        assert!(matches!(far, Err(TlsError::Handshake(_))), "{offer:?}");
        let alert = near.unwrap_err().to_string();
        assert!(alert.contains("NoApplicationProtocol"), "{offer:?}: {alert}");
    }
}

#[tokio::test(start_paused = true)]
async fn t05_a_slow_handshake_ends_at_the_deadline() {
    let tls = Tls::ephemeral(&[DOMAIN]).unwrap();
    let (mut near, far) = duplex(PIPE);
    let dripping = tokio::spawn(async move {
        // A record header that promises much, then a byte now and then.
        let mut sent = 0;
        for byte in [0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f].into_iter().chain(std::iter::repeat(0)) {
            if near.write_all(&[byte]).await.is_err() {
                break;
            }
            sent += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        sent
    });
    let start = Instant::now();
    let outcome = tls.accept(far, Mode::Direct, HANDSHAKE_DEADLINE).await;
    assert!(matches!(outcome, Err(TlsError::Deadline)));
    assert_eq!(start.elapsed(), HANDSHAKE_DEADLINE);
    assert!(dripping.await.unwrap() >= 10, "the socket was closed at the deadline, not before");
}

/// The first flight of a client, as it goes over the wire.
fn client_hello(tls: &Tls) -> Vec<u8> {
    let config = Arc::new(client_of(tls, &[], &[&TLS12, &TLS13]));
    let mut hello = Vec::new();
    ClientConnection::new(config, name()).unwrap().write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn t04_a_hello_in_records_of_one_byte_neither_stalls_nor_panics() {
    let tls = Tls::ephemeral(&[DOMAIN]).unwrap();
    let hello = client_hello(&tls);
    let (mut near, far) = duplex(PIPE);
    for byte in &hello[5..] {
        near.write_all(&[0x16, 3, 1, 0, 1, *byte]).await.unwrap();
    }
    let answered = async {
        let mut header = [0; 6];
        near.read_exact(&mut header).await.unwrap();
        // ServerHello, or a refusal: either way an answer at once.
        assert!(matches!(header, [0x16, _, _, _, _, 2] | [0x15, ..]), "{header:x?}");
        drop(near);
    };
    let (outcome, ()) = tokio::time::timeout(Duration::from_secs(5), async {
        tokio::join!(tls.accept(far, Mode::Direct, HANDSHAKE_DEADLINE), answered)
    })
    .await
    .expect("an answer at once");
    assert!(matches!(outcome, Err(TlsError::Handshake(_))));
}

#[tokio::test(start_paused = true)]
async fn t04_close_notify_amid_the_handshake_does_not_spin() {
    let tls = Tls::ephemeral(&[DOMAIN]).unwrap();
    let close_notify = [0x15, 3, 3, 0, 2, 1, 0];
    // After the hello, and in its place.
    for (first, leaves) in [(true, true), (true, false), (false, true), (false, false)] {
        let (mut near, far) = duplex(PIPE);
        if first {
            near.write_all(&client_hello(&tls)).await.unwrap();
        }
        near.write_all(&close_notify).await.unwrap();
        if leaves {
            near.shutdown().await.unwrap();
        }
        // The paused clock goes on only while nobody has anything to do: a loop would stop it.
        let start = Instant::now();
        let outcome = tls.accept(far, Mode::StartTls, HANDSHAKE_DEADLINE).await;
        if leaves || first {
            assert!(matches!(outcome, Err(TlsError::Handshake(_))));
            assert_eq!(start.elapsed(), Duration::ZERO);
        } else {
            assert!(matches!(outcome, Err(TlsError::Deadline)));
            assert_eq!(start.elapsed(), HANDSHAKE_DEADLINE);
        }
    }
}

#[tokio::test]
async fn t06_plain_text_on_a_tls_port_is_refused_without_echo() {
    let tls = Tls::ephemeral(&[DOMAIN]).unwrap();
    let (mut near, far) = duplex(PIPE);
    near.write_all(b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n").await.unwrap();
    let outcome = tls.accept(far, Mode::Direct, HANDSHAKE_DEADLINE).await;
    assert!(matches!(outcome, Err(TlsError::Handshake(_))));
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    assert!(answer.len() <= 7, "at most an alert: {answer:x?}");
}

#[tokio::test]
async fn t09_tickets_resume_but_early_data_is_never_allowed() {
    let tls = Tls::ephemeral(&[DOMAIN]).unwrap();
    let mut config = client_of(&tls, &[], &[&TLS13]);
    config.enable_early_data = true;
    config.resumption = Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    for resumed in [false, true] {
        let (near, far) = duplex(PIPE);
        let early = Arc::new(AtomicBool::new(false));
        let seen = early.clone();
        let connect = TlsConnector::from(config.clone()).connect_with(name(), near, |client| {
            seen.store(client.early_data().is_some(), Ordering::SeqCst);
        });
        let (near, far) =
            tokio::join!(connect, tls.accept(far, Mode::StartTls, HANDSHAKE_DEADLINE));
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        echo(&mut near, &mut far).await;
        let kind = near.get_ref().1.handshake_kind();
        assert_eq!(kind == Some(rustls::HandshakeKind::Resumed), resumed, "{kind:?}");
        assert!(!early.load(Ordering::SeqCst), "no ticket allows early data");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_holds_up_the_writer_and_not_the_memory() {
    let tls = Tls::ephemeral(&[DOMAIN]).unwrap();
    let (near, far) = shake(&tls, Mode::Direct, client_of(&tls, &[], &[&TLS13])).await;
    let (_near, mut far) = (near.unwrap(), far.unwrap());
    let mut taken = 0;
    let chunk = vec![b' '; 4096];
    let writing = async {
        loop {
            taken += far.write(&chunk).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_millis(200), writing).await.unwrap_err();
    assert!(taken >= BUFFER_BYTES, "{taken}");
    assert!(taken <= PIPE + 2 * BUFFER_BYTES, "{taken}");
}

/// A folder with a certificate and its key.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        folder.put(&new_pair());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, (certificate, key): &(String, String)) {
        fs::write(self.path("key.pem"), key).unwrap();
        fs::write(self.path("cert.pem"), certificate).unwrap();
    }

    fn load(&self) -> Result<Tls, CertificateError> {
        Tls::load(&self.path("cert.pem"), &self.path("key.pem"))
    }
}

/// Certificate and key in PEM form.
fn new_pair() -> (String, String) {
    pair_until(2999)
}

fn pair_until(year: i32) -> (String, String) {
    let mut params = CertificateParams::new([DOMAIN.to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn served(tls: &Tls) -> CertificateDer<'static> {
    tls.in_force.0.load().cert[0].clone()
}

#[tokio::test]
async fn a_new_certificate_is_served_and_live_streams_go_on() {
    let folder = Folder::new();
    let tls = folder.load().unwrap();
    assert!(!tls.reload().unwrap(), "nothing changed");
    let old_client = client_of(&tls, &[], &[&TLS13]);
    let (near, far) = shake(&tls, Mode::Direct, old_client.clone()).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());

    folder.put(&new_pair());
    assert!(tls.reload().unwrap());
    echo(&mut near, &mut far).await;
    for mode in [Mode::StartTls, Mode::Direct] {
        let (near, _) = shake(&tls, mode, client_of(&tls, &[], &[&TLS13])).await;
        let near = near.unwrap();
        assert_eq!(near.get_ref().1.peer_certificates().unwrap()[0], served(&tls));
        let mut fresh = old_client.clone();
        fresh.resumption = Resumption::disabled();
        let (near, _) = shake(&tls, mode, fresh).await;
        assert!(near.is_err(), "the old certificate is no longer served");
    }
}

#[test]
fn t08_a_bad_pair_leaves_the_old_one_in_force_and_says_what_is_wrong() {
    let folder = Folder::new();
    let tls = folder.load().unwrap();
    let before = served(&tls);
    let (new, other) = (new_pair(), new_pair());
    let cases = [
        (String::new(), new.1.clone(), "does not hold certificates"),
        (
            "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n".to_owned(),
            new.1.clone(),
            "does not hold certificates",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            new.1.clone(),
            "cannot be used",
        ),
        (new.0.clone(), String::new(), "does not hold an unencrypted private key"),
        (new.0.clone(), other.1, "does not belong to"),
        (pair_until(2001).0, new.1.clone(), "does not belong to"),
    ];
    for (certificate, key, message) in cases {
        folder.put(&(certificate, key));
        let error = tls.reload().unwrap_err().to_string();
        assert!(error.contains(message) && error.contains(".pem"), "{error}");
        assert_eq!(served(&tls), before, "{error}");
    }
    folder.put(&pair_until(2001));
    assert!(tls.reload().unwrap_err().to_string().contains("expired"));
    fs::remove_file(folder.path("cert.pem")).unwrap();
    assert!(tls.reload().unwrap_err().to_string().starts_with("cannot read "));
    assert_eq!(served(&tls), before);
    folder.put(&new);
    assert!(tls.reload().unwrap(), "a good pair after bad ones");
    assert_ne!(served(&tls), before);
}

#[test]
fn a_first_pair_must_be_good_but_may_be_old() {
    let folder = Folder::new();
    folder.put(&pair_until(2001));
    assert!(folder.load().is_ok());
    folder.put(&(new_pair().0, new_pair().1));
    assert!(matches!(folder.load(), Err(CertificateError::Mismatch { .. })));
    fs::remove_file(folder.path("key.pem")).unwrap();
    assert!(matches!(folder.load(), Err(CertificateError::Read { .. })));
}

#[tokio::test(start_paused = true)]
async fn t08_changed_files_are_noticed_within_a_second() {
    let folder = Folder::new();
    let tls = Arc::new(folder.load().unwrap());
    let before = served(&tls);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let watching = tokio::spawn(tls.clone().watch(async {
        stopped.await.unwrap();
    }));
    // First the certificate, then the key, as some tools do: the gap between them does no harm.
    let (certificate, key) = new_pair();
    fs::write(folder.path("cert.pem"), certificate).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(served(&tls), before);
    fs::write(folder.path("key.pem"), key).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_ne!(served(&tls), before);
    stop.send(()).unwrap();
    watching.await.unwrap();
}

#[tokio::test]
async fn self_signed_pairs_are_made_once_and_kept_private() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let first = Tls::self_signed(&data, &[DOMAIN, "münchen.example"]).unwrap();
    let mode = fs::metadata(data.join("self-signed.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = Tls::self_signed(&data, &["münchen.example"]).unwrap();
    assert_eq!(served(&again), served(&first), "reused while it names every domain");
    let more = Tls::self_signed(&data, &[DOMAIN, "new.example"]).unwrap();
    assert_ne!(served(&more), served(&first), "made anew for a new domain");

    for domain in [DOMAIN, "xn--mnchen-3ya.example"] {
        let config = Arc::new(client_of(&first, &[], &[&TLS13]));
        let (near, far) = duplex(PIPE);
        let name = ServerName::try_from(domain).unwrap();
        let (near, _) = tokio::join!(
            TlsConnector::from(config).connect(name, near),
            first.accept(far, Mode::Direct, HANDSHAKE_DEADLINE)
        );
        assert!(near.is_ok(), "{domain}");
    }
}

#[test]
fn a_damaged_or_expired_self_signed_pair_is_made_anew() {
    let folder = TempDir::new().unwrap();
    let (certificate, key) =
        (folder.path().join("self-signed.crt"), folder.path().join("self-signed.key"));
    let old = Tls::self_signed(folder.path(), &[DOMAIN]).unwrap();
    fs::write(&key, new_pair().1).unwrap();
    let new = Tls::self_signed(folder.path(), &[DOMAIN]).unwrap();
    assert_ne!(served(&new), served(&old));
    let (expired, its_key) = pair_until(2001);
    fs::write(&certificate, expired).unwrap();
    fs::write(&key, its_key).unwrap();
    let new = Tls::self_signed(folder.path(), &[DOMAIN]).unwrap();
    assert!(!certificate::is_out_of_date(&new.in_force.0.load()));
}

#[test]
fn names_that_no_certificate_can_hold_are_refused() {
    let error = Tls::ephemeral(&[DOMAIN, "\u{378}.example"]).unwrap_err().to_string();
    assert!(error.starts_with("cannot make a certificate for a.example, "), "{error}");
    assert!(Tls::ephemeral(&["[::1]", "127.0.0.1"]).is_ok());
}

#[test]
fn what_is_printed_of_a_key_is_its_path() {
    let folder = Folder::new();
    let printed = format!("{:?}", folder.load().unwrap());
    assert!(printed.contains("key.pem") && printed.len() < 300, "{printed}");
}
