//! TLS for servers: a certificate that can be read again without dropping a stream.

/// The certificate in force and the configurations made from it.
pub struct Tls {}
