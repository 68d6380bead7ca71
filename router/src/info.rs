//! What the server says of itself before it is asked for more: service discovery and stream features.

/// What an entity is (XEP-0030 3.1), as its module declares it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The category, such as `server`.
    pub category: &'static str,
    /// The type, such as `im`.
    pub kind: &'static str,
    /// Its name for people.
    pub name: Option<String>,
}

/// What more there is to know of an entity (XEP-0128): a data form of type `result`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extension {
    /// Its FORM_TYPE (XEP-0068).
    pub form_type: &'static str,
    /// Its fields: name, label and values.
    pub fields: Vec<(&'static str, &'static str, Vec<String>)>,
}

/// All that service discovery says of an entity but its items: each list sorted by bytes, nothing twice, which is how
/// XEP-0115 5.1 wants it hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// What it is.
    pub identities: Vec<Identity>,
    /// What it can do.
    pub features: Vec<&'static str>,
    /// What more there is to know.
    pub extensions: Vec<Extension>,
}

/// When a stream feature is offered (RFC 6120 4.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offer {
    /// Where the client may authenticate: beside the SASL mechanisms, not on a stream where TLS has to come first.
    BeforeAuth,
    /// Where the client may bind a resource.
    AfterAuth,
}
