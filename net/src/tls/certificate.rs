//! Certificates and keys: reading them from files, and making self-signed ones.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    CertificateError as Fault, Error, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::aws_lc_rs,
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use xmpp_core::jid::domain_to_ascii;

/// How long a self-signed certificate is valid: nobody renews them, and nobody trusts them but by hand.
const VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// It is valid from a little earlier on, for clients whose clock is behind.
const BACKDATE: Duration = Duration::from_secs(60 * 60);

/// Why a certificate cannot be used or made. The one who runs the server can mend it.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file is not there or may not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The certificate or the key.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file cannot be made.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The certificate, the key or their folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No `BEGIN CERTIFICATE`, or what follows is damaged.
    #[error("{} does not hold certificates in PEM form", .0.display())]
    NotCertificates(PathBuf),
    /// No `BEGIN PRIVATE KEY`, or what follows is damaged; an encrypted key is not read.
    #[error("{} does not hold an unencrypted private key in PEM form", .0.display())]
    NotKey(PathBuf),
    /// The key belongs to another certificate.
    #[error("the key {} does not belong to the certificate {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Certificate or key is damaged, or of a kind that TLS has no use for.
    #[error("the certificate {} cannot be used: {reason}", certificate.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// What the TLS library says.
        reason: String,
    },
    /// Expired, or not valid yet.
    #[error("the certificate {} has expired or is not valid yet", .0.display())]
    OutOfDate(PathBuf),
    /// A self-signed certificate cannot be made.
    #[error("cannot make a certificate for {names}: {reason}")]
    Make {
        /// The domains it was for.
        names: String,
        /// What is wrong.
        reason: String,
    },
}

/// The certificates of a file, the server's own first.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = read_file(path)?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(CertificateError::NotCertificates(path.to_owned())),
    }
}

/// A certificate chain and its key.
pub(super) fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let chain = read_chain(certificate)?;
    let key_der = PrivateKeyDer::from_pem_slice(&read_file(key)?)
        .map_err(|_| CertificateError::NotKey(key.to_owned()))?;
    CertifiedKey::from_der(chain, key_der, &aws_lc_rs::default_provider()).map_err(|error| {
        let certificate = certificate.to_owned();
        match error {
            Error::InconsistentKeys(_) => {
                CertificateError::Mismatch { certificate, key: key.to_owned() }
            }
            error => CertificateError::Unusable { certificate, reason: error.to_string() },
        }
    })
}

/// Whether today is not within the validity of the certificate.
pub(super) fn is_out_of_date(pair: &CertifiedKey) -> bool {
    // The dates are looked at before the issuer is searched for, so no root is needed.
    let verdict = ParsedCertificate::try_from(&pair.cert[0]).and_then(|certificate| {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        let (roots, now) = (RootCertStore::empty(), UnixTime::now());
        verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], now, algorithms)
    });
    matches!(
        verdict,
        Err(Error::InvalidCertificate(
            Fault::Expired
                | Fault::ExpiredContext { .. }
                | Fault::NotValidYet
                | Fault::NotValidYetContext { .. }
        ))
    )
}

/// The self-signed pair in these files; a new one where there is none, or none for all of these names
/// today.
pub(super) fn self_signed_in(
    folder: &Path,
    certificate: &Path,
    key: &Path,
    names: &[&str],
) -> Result<CertifiedKey, CertificateError> {
    match read(certificate, key) {
        Ok(pair) if is_for(&pair, names) && !is_out_of_date(&pair) => return Ok(pair),
        // What may not be read must not be replaced.
        Err(CertificateError::Read { path, source })
            if source.kind() != io::ErrorKind::NotFound =>
        {
            return Err(CertificateError::Read { path, source });
        }
        _ => {}
    }
    let made = make(names)?;
    fs::create_dir_all(folder)
        .map_err(|source| CertificateError::Write { path: folder.to_owned(), source })?;
    write_file(key, 0o600, &made.key.serialize_pem())?;
    write_file(certificate, 0o644, &made.certificate.pem())?;
    tracing::warn!(
        certificate = %certificate.display(),
        "made a self-signed certificate: clients will warn of it"
    );
    made.certified()
}

/// A certificate that was just made, with its key.
pub(super) struct Made {
    certificate: rcgen::Certificate,
    key: KeyPair,
    names: String,
}

impl Made {
    /// The pair in the form that handshakes use.
    pub(super) fn certified(&self) -> Result<CertifiedKey, CertificateError> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der());
        key.map_err(ToOwned::to_owned)
            .and_then(|key| {
                let chain = vec![self.certificate.der().clone()];
                CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
                    .map_err(|error| error.to_string())
            })
            .map_err(|reason| CertificateError::Make { names: self.names.clone(), reason })
    }
}

/// A new self-signed certificate with a dNSName for each domain.
pub(super) fn make(names: &[&str]) -> Result<Made, CertificateError> {
    let joined = names.join(", ");
    let fault = |reason: String| CertificateError::Make { names: joined.clone(), reason };
    let ascii: Option<Vec<String>> = names.iter().map(|name| certificate_name(name)).collect();
    let ascii = ascii.ok_or_else(|| fault("not a domain name".to_owned()))?;
    let mut params = CertificateParams::new(ascii).map_err(|error| fault(error.to_string()))?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "self-signed XMPP server");
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| fault("the clock is before 1970".to_owned()))?;
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970.saturating_sub(BACKDATE);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970 + VALIDITY;
    let key = KeyPair::generate().map_err(|error| fault(error.to_string()))?;
    let certificate = params.self_signed(&key).map_err(|error| fault(error.to_string()))?;
    Ok(Made { certificate, key, names: joined })
}

/// Whether the certificate names all of these domains.
fn is_for(pair: &CertifiedKey, names: &[&str]) -> bool {
    ParsedCertificate::try_from(&pair.cert[0]).is_ok_and(|certificate| {
        names.iter().all(|name| {
            certificate_name(name)
                .and_then(|name| ServerName::try_from(name).ok())
                .is_some_and(|name| verify_server_name(&certificate, &name).is_ok())
        })
    })
}

/// A domain as certificates write it: A-labels, and addresses without brackets.
fn certificate_name(domain: &str) -> Option<String> {
    let inner = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    domain_to_ascii(inner.unwrap_or(domain)).map(std::borrow::Cow::into_owned)
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}

/// Writes a file whole or not at all; nobody sees the key with wider permissions than its last.
fn write_file(path: &Path, mode: u32, text: &str) -> Result<(), CertificateError> {
    let part = path.with_extension("part");
    let written = match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => OpenOptions::new().write(true).create_new(true).mode(mode).open(&part),
    }
    .and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)
    });
    written.map_err(|source| CertificateError::Write { path: path.to_owned(), source })
}
