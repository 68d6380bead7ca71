//! XEP-0157: Contact Addresses for XMPP Services.

use router::{At, Declare, Extension, Module};
use std::sync::Arc;
use xmpp_core::ns;

/// Whom to write to about a service, as URIs (XEP-0157 3). Anybody may read them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are named as the form's, without `-addresses`")]
pub struct Contacts {
    pub abuse: Vec<String>,
    pub admin: Vec<String>,
    pub feedback: Vec<String>,
    pub sales: Vec<String>,
    pub security: Vec<String>,
    pub status: Vec<String>,
    pub support: Vec<String>,
}

impl Module for Contacts {
    fn name(&self) -> &'static str {
        "contact"
    }

    fn declare(self: Arc<Self>, declare: &mut Declare) {
        declare.xep(157, "Contact Addresses for XMPP Services", "1.1.1");
        // XEP-0157 7.1
        let fields = [
            ("abuse-addresses", "Abuse", &self.abuse),
            ("admin-addresses", "Administrators", &self.admin),
            ("feedback-addresses", "Feedback", &self.feedback),
            ("sales-addresses", "Sales", &self.sales),
            ("security-addresses", "Security", &self.security),
            ("status-addresses", "Status", &self.status),
            ("support-addresses", "Support", &self.support),
        ];
        let fields: Vec<_> = fields
            .into_iter()
            .filter(|(.., addresses)| !addresses.is_empty())
            .map(|(var, label, addresses)| (var, label, addresses.clone()))
            .collect();
        if !fields.is_empty() {
            declare.extension(At::Server, Extension { form_type: ns::SERVER_INFO, fields });
        }
    }
}
