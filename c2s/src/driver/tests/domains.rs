//! Several domains behind one door (RFC 6120 4.7.2).

use super::world::{Client, PASSWORD, PASSWORD_IN_MANTUA, Verona};
use base64::{Engine, engine::general_purpose::STANDARD};
use xmpp_core::ns;

fn header(domain: &str) -> String {
    Client::header().replace("verona.lit", domain)
}

/// What comes of a login by PLAIN at this domain.
async fn log_in(verona: &Verona, domain: &str, user: &str, password: &str) -> (Client, String) {
    let (mut client, _task) = verona.pipe();
    let plain = STANDARD.encode(format!("\0{user}\0{password}"));
    client.say(&header(domain)).await;
    let features = client.hear("</stream:features>").await;
    assert!(features.contains(&format!(" from='{domain}'")), "{features}");
    client.say(&format!("<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>", ns::SASL)).await;
    let answer = client.hear_one_of("</success>", "</failure>").await;
    (client, answer)
}

#[tokio::test(start_paused = true)]
async fn each_domain_has_its_own_accounts() {
    let verona = Verona::new().await;
    for (domain, user, password, good) in [
        ("verona.lit", "romeo", PASSWORD, true),
        ("verona.lit", "romeo", PASSWORD_IN_MANTUA, false),
        ("mantua.lit", "romeo", PASSWORD_IN_MANTUA, true),
        ("mantua.lit", "romeo", PASSWORD, false),
        ("mantua.lit", "juliet", PASSWORD, false),
    ] {
        let (_client, answer) = log_in(&verona, domain, user, password).await;
        assert_eq!(answer.contains("<success"), good, "{user} at {domain}: {answer}");
        assert_eq!(answer.contains("<not-authorized/>"), !good, "{user} at {domain}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn rfc6120_4_7_2_the_header_says_at_which_domain_one_is_bound_and_addressed() {
    let verona = Verona::new().await;
    let mut names = Vec::new();
    for (domain, password) in [("verona.lit", PASSWORD), ("mantua.lit", PASSWORD_IN_MANTUA)] {
        let (mut client, _) = log_in(&verona, domain, "romeo", password).await;
        client.say(&header(domain)).await;
        client.hear("</stream:features>").await;
        let bound = client.bind("home").await;
        assert!(bound.contains(&format!("<jid>romeo@{domain}/home</jid>")), "{bound}");
        names.push(client);
    }
    // The same resource, and no conflict: the two talk.
    let [there, here] = &mut names[..] else { unreachable!("two were bound") };
    there.say("<message to='romeo@mantua.lit/home'><body>hi</body></message>").await;
    let heard = here.hear("</message>").await;
    assert!(heard.contains("from='romeo@verona.lit/home'"), "{heard}");
}

/// Threat X14.
#[tokio::test(start_paused = true)]
async fn x14_who_logged_in_at_one_domain_is_nobody_at_another() {
    let verona = Verona::new().await;
    let (mut client, answer) = log_in(&verona, "verona.lit", "romeo", PASSWORD).await;
    assert!(answer.contains("<success"), "{answer}");
    client.say(&header("mantua.lit")).await;
    let rest = client.rest().await;
    assert!(rest.contains("<not-authorized "), "{rest}");
}
