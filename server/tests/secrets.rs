//! What must not stand in a log, whatever its level.

mod common;

use common::{FREE, Folder, NO_TLS, client::User};

/// Base64 of PLAIN's message, which is the password in disguise.
const PLAIN: &str = "AHJvbWVvAGNhbmFyeS1wYXNzd29yZA==";

#[test]
fn a14_no_password_and_no_message_is_logged_at_any_level() {
    let folder = Folder::new();
    folder.add("romeo@localhost", "canary-password");
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let mechanisms = format!("--set=auth.mechanisms=['{mechanism}']");
        let arguments = FREE.iter().copied().chain(NO_TLS).chain([&*mechanisms]);
        let server = folder.start_with(arguments, &[("RUST_LOG", "trace")]);
        let c2s = server.address("c2s");
        let mut romeo = User::login(c2s, "romeo@localhost", "canary-password");
        let to = romeo.jid.clone();
        let subject = "<subject>canary-subject</subject>";
        romeo.send(&format!(
            "<message type='chat' to='{to}'>{subject}<body>canary-body</body></message>"
        ));
        assert!(romeo.receive("message").child("jabber:client", "body").is_some());
        romeo.send("<presence><status>canary-status</status></presence>");
        romeo.receive("presence");
        romeo.close();
        assert!(User::try_login(c2s, "romeo@localhost", "canary-wrong").is_err());
        let (status, _, log) = server.stop();
        assert!(status.success(), "{log}");
        assert!(log.contains("authenticated"), "{log}");
        for line in log.lines() {
            assert!(!line.contains("canary") && !line.contains(PLAIN), "{mechanism}: {line}");
        }
    }
}
