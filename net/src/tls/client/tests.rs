//! Which certificates prove a domain (threat T07; RFC 9525, RFC 5280): exactly these, and none of the others.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose as Usage, GeneralSubtree, IsCa, Issuer, KeyPair, NameConstraints,
    OtherNameValue, PKCS_ED25519, SanType, date_time_ymd,
};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use std::net::IpAddr;
use tokio::io::duplex;
use tokio_rustls::TlsAcceptor;

/// Who is asked for, unless the case says otherwise.
const DOMAIN: &str = "example.org";
/// The names of RFC 6120 13.7.1.2.1 and 13.7.1.4 that are no DNS names.
const SRV_NAME: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 8, 7];
const XMPP_ADDR: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 8, 5];

/// What a server shows, and the key that it has.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

type Authority = Issuer<'static, KeyPair>;

fn authority(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = named("An authority");
    change(&mut params);
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn ip(address: &str) -> SanType {
    SanType::IpAddress(address.parse::<IpAddr>().unwrap())
}

fn other(kind: [u64; 9], name: &str) -> SanType {
    SanType::OtherName((kind.to_vec(), OtherNameValue::Utf8String(name.into())))
}

/// A certificate of the root for the domain, changed.
fn leaf(root: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Shown {
    below(root, KeyPair::generate().unwrap(), change)
}

fn below(issuer: &Authority, key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let mut params = CertificateParams::new([DOMAIN.to_owned()]).unwrap();
    params.distinguished_name = named("A server");
    change(&mut params);
    Shown { chain: vec![params.signed_by(&key, issuer).unwrap().der().clone()], key }
}

/// With these names only.
fn sans<const N: usize>(root: &Authority, names: [SanType; N]) -> Shown {
    leaf(root, |params| params.subject_alt_names = names.into())
}

/// With this in front of the name, and these names only.
fn subject(root: &Authority, kind: DnType, text: &str, names: Vec<SanType>) -> Shown {
    leaf(root, |params| {
        params.distinguished_name.push(kind, text);
        params.subject_alt_names = names;
    })
}

/// By an authority below the root.
fn through(root: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let params = authority(|params| {
        params.distinguished_name = named("An authority below");
        change(params);
    });
    let key = KeyPair::generate().unwrap();
    let middle = params.signed_by(&key, root).unwrap();
    let mut shown = leaf(&Issuer::new(params, key), |_| {});
    shown.chain.push(middle.der().clone());
    shown
}

fn constrained(permitted: &[&str], excluded: &[&str]) -> impl FnOnce(&mut CertificateParams) {
    let subtrees =
        |names: &[&str]| names.iter().map(|n| GeneralSubtree::DnsName((*n).into())).collect();
    let constraints = NameConstraints {
        permitted_subtrees: subtrees(permitted),
        excluded_subtrees: subtrees(excluded),
    };
    |params| params.name_constraints = Some(constraints)
}

/// A name by SRV record as RFC 4985 2 has it, which is an IA5String.
fn srv_name(name: &str) -> CustomExtension {
    let der = |tag: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        assert!(length < 128, "a short form");
        [&[tag, length], content].concat()
    };
    const OID: [u8; 10] = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x07];
    let value = der(0xa0, &der(0x16, name.as_bytes()));
    let names = der(0x30, &der(0xa0, &[&OID[..], &value].concat()));
    CustomExtension::from_oid_content(&[2, 5, 29, 17], names)
}

/// An extension that nobody knows.
fn unknown(critical: bool) -> impl FnOnce(&mut CertificateParams) {
    move |params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4, 5], vec![5, 0]);
        extension.set_criticality(critical);
        params.custom_extensions.push(extension);
    }
}

fn usages<const N: usize>(root: &Authority, usages: [Usage; N]) -> Shown {
    leaf(root, |params| params.extended_key_usages = usages.into())
}

/// Every case: what it is, who is asked for, what is shown, and whether it proves that.
#[expect(clippy::too_many_lines, reason = "a table")]
fn cases(root: &Authority, stranger: &Authority) -> Vec<(&'static str, &'static str, Shown, bool)> {
    let sub = "xmpp.example.org";
    let day = date_time_ymd;
    vec![
        ("the name", DOMAIN, leaf(root, |_| {}), true),
        ("in capitals", DOMAIN, sans(root, [dns("EXAMPLE.ORG")]), true),
        (
            "one of a hundred names",
            DOMAIN,
            leaf(root, |params| {
                params.subject_alt_names = (0..99).map(|n| dns(&format!("n{n}.example"))).collect();
                params.subject_alt_names.push(dns(DOMAIN));
            }),
            true,
        ),
        ("as an A-label", "xn--n-eha4h.example", sans(root, [dns("xn--n-eha4h.example")]), true),
        (
            "an Ed25519 key",
            DOMAIN,
            below(root, KeyPair::generate_for(&PKCS_ED25519).unwrap(), |_| {}),
            true,
        ),
        // RFC 9525 2: no common names, nor what looks like one.
        ("a common name alone", DOMAIN, subject(root, DnType::CommonName, DOMAIN, vec![]), false),
        (
            "a common name beside others",
            DOMAIN,
            subject(root, DnType::CommonName, DOMAIN, vec![dns("other.example")]),
            false,
        ),
        (
            "a unit that looks like a common name",
            DOMAIN,
            subject(root, DnType::OrganizationalUnitName, "CN=example.org,", vec![]),
            false,
        ),
        (
            "an organisation that looks like one",
            DOMAIN,
            subject(root, DnType::OrganizationName, "x/CN=example.org", vec![dns("other.example")]),
            false,
        ),
        (
            "other names than ours in the subject",
            DOMAIN,
            subject(root, DnType::CommonName, "other.example", vec![dns(DOMAIN)]),
            true,
        ),
        // What is nearly the name.
        ("another name", DOMAIN, sans(root, [dns("other.example")]), false),
        ("a name that ends like it", DOMAIN, sans(root, [dns("badexample.org")]), false),
        (
            "a name that begins like it",
            DOMAIN,
            sans(root, [dns("example.org.evil.example")]),
            false,
        ),
        ("a name below it", DOMAIN, sans(root, [dns(sub)]), false),
        ("the name above it", sub, sans(root, [dns(DOMAIN)]), false),
        (
            "with NUL and more behind",
            DOMAIN,
            sans(root, [dns("example.org\0.evil.example")]),
            false,
        ),
        ("with NUL and more before", DOMAIN, sans(root, [dns("evil.example\0example.org")]), false),
        ("with a space", DOMAIN, sans(root, [dns(" example.org")]), false),
        ("an empty name", DOMAIN, sans(root, [dns("")]), false),
        ("with the dot of the root", DOMAIN, sans(root, [dns("example.org.")]), false),
        // RFC 9525 6.3: a wildcard is the whole first label, and stands for one.
        ("a wildcard", sub, sans(root, [dns("*.example.org")]), true),
        ("a wildcard for the name itself", DOMAIN, sans(root, [dns("*.example.org")]), false),
        (
            "a wildcard for two labels",
            "a.xmpp.example.org",
            sans(root, [dns("*.example.org")]),
            false,
        ),
        ("two wildcards", "a.xmpp.example.org", sans(root, [dns("*.*.example.org")]), false),
        ("a wildcard in a label", sub, sans(root, [dns("x*.example.org")]), false),
        ("a wildcard in the middle", sub, sans(root, [dns("xmpp.*.org")]), false),
        ("a wildcard of a top-level domain", DOMAIN, sans(root, [dns("*.org")]), false),
        ("a wildcard of everything", DOMAIN, sans(root, [dns("*")]), false),
        // Other kinds of names.
        ("an address", DOMAIN, sans(root, [ip("192.0.2.1")]), false),
        ("an address that is asked for", "192.0.2.1", sans(root, [ip("192.0.2.1")]), true),
        ("an address as a name", "192.0.2.1", sans(root, [dns("192.0.2.1")]), false),
        (
            "a URI",
            DOMAIN,
            sans(root, [SanType::URI("xmpp:example.org".try_into().unwrap())]),
            false,
        ),
        (
            "an e-mail address",
            DOMAIN,
            sans(root, [SanType::Rfc822Name("x@example.org".try_into().unwrap())]),
            false,
        ),
        ("an XmppAddr alone", DOMAIN, sans(root, [other(XMPP_ADDR, DOMAIN)]), false),
        (
            "an XmppAddr of another beside the name",
            DOMAIN,
            sans(root, [other(XMPP_ADDR, "other.example"), dns(DOMAIN)]),
            true,
        ),
        (
            "an SRVName alone",
            DOMAIN,
            leaf(root, |params| {
                params.subject_alt_names.clear();
                params.custom_extensions.push(srv_name("_xmpp-client.example.org"));
            }),
            false,
        ),
        (
            "an SRVName of the wrong type",
            DOMAIN,
            sans(root, [other(SRV_NAME, "_xmpp-client.example.org")]),
            false,
        ),
        (
            "an SRVName beside the name",
            DOMAIN,
            sans(root, [other(SRV_NAME, "_xmpp-client.example.org"), dns(DOMAIN)]),
            true,
        ),
        // Time, and what it is for.
        ("expired", DOMAIN, leaf(root, |params| params.not_after = day(2020, 1, 1)), false),
        ("not valid yet", DOMAIN, leaf(root, |params| params.not_before = day(2999, 1, 1)), false),
        ("for servers", DOMAIN, usages(root, [Usage::ServerAuth]), true),
        (
            "for servers and clients",
            DOMAIN,
            usages(root, [Usage::ServerAuth, Usage::ClientAuth]),
            true,
        ),
        ("for clients", DOMAIN, usages(root, [Usage::ClientAuth]), false),
        ("for code", DOMAIN, usages(root, [Usage::CodeSigning]), false),
        ("with an extension that must be understood", DOMAIN, leaf(root, unknown(true)), false),
        ("with one that need not", DOMAIN, leaf(root, unknown(false)), true),
        // Who vouches for it.
        ("a stranger", DOMAIN, leaf(stranger, |_| {}), false),
        (
            "itself",
            DOMAIN,
            {
                let (key, params) = (
                    KeyPair::generate().unwrap(),
                    CertificateParams::new([DOMAIN.to_owned()]).unwrap(),
                );
                Shown { chain: vec![params.self_signed(&key).unwrap().der().clone()], key }
            },
            false,
        ),
        (
            "an authority's own",
            DOMAIN,
            leaf(root, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            false,
        ),
        ("an authority below", DOMAIN, through(root, |_| {}), true),
        (
            "an authority below that is not shown",
            DOMAIN,
            {
                let mut shown = through(root, |_| {});
                shown.chain.truncate(1);
                shown
            },
            false,
        ),
        (
            "an authority below that is none",
            DOMAIN,
            through(root, |params| params.is_ca = IsCa::ExplicitNoCa),
            false,
        ),
        (
            "an authority below that has expired",
            DOMAIN,
            through(root, |params| params.not_after = day(2020, 1, 1)),
            false,
        ),
        ("an authority for these names", DOMAIN, through(root, constrained(&[DOMAIN], &[])), true),
        (
            "an authority for other names",
            DOMAIN,
            through(root, constrained(&["other.example"], &[])),
            false,
        ),
        (
            "an authority for all but these names",
            DOMAIN,
            through(root, constrained(&[], &[DOMAIN])),
            false,
        ),
        (
            "a signature with one bit changed",
            DOMAIN,
            {
                let mut shown = leaf(root, |_| {});
                let mut der = shown.chain[0].to_vec();
                *der.last_mut().unwrap() ^= 1;
                shown.chain[0] = der.into();
                shown
            },
            false,
        ),
    ]
}

/// Whether this proves to be the domain.
async fn proves(shown: &Shown, domain: &str, client: &Arc<ClientConfig>) -> bool {
    let key = PrivateKeyDer::try_from(shown.key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    // What the client is to judge, the server must not.
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(shown.chain.clone(), key);
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let (near, far) = duplex(64 * 1024);
    let accept = TlsAcceptor::from(Arc::new(server)).accept(far);
    let (near, _far) = tokio::join!(connect(near, domain, Arc::clone(client)), accept);
    near.is_ok()
}

#[tokio::test]
async fn t07_exactly_these_certificates_prove_a_domain() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authorities.pem");
    let (key, params) = (KeyPair::generate().unwrap(), authority(|_| {}));
    std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
    let root = Issuer::new(params, key);
    // It has the same name.
    let stranger = Issuer::new(authority(|_| {}), KeyPair::generate().unwrap());
    let client = trusting(Some(&file), &[]).unwrap();
    let cases = cases(&root, &stranger);
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut wrong = Vec::new();
    for (what, domain, shown, good) in &cases {
        if proves(shown, domain, &client).await != *good {
            wrong.push(format!(
                "{what}: {domain} should {}be proved",
                if *good { "" } else { "not " }
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What an operator names as an authority is believed of itself, too: a server that signs for itself.
#[tokio::test]
async fn t07_a_certificate_that_is_trusted_itself_proves_its_name_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.pem");
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new([DOMAIN.to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(&file, own.pem()).unwrap();
    let client = trusting(Some(&file), &[]).unwrap();
    let shown = Shown { chain: vec![own.der().clone()], key };
    assert!(proves(&shown, DOMAIN, &client).await);
    assert!(!proves(&shown, "other.example", &client).await);
}
