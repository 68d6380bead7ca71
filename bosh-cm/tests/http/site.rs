//! What HTTP itself answers: headers, methods, pages.

use crate::stage::{Answer, Stage};
use bosh_cm::Settings;

/// The endpoint's answers of every kind: good, refused, ill-formed, too large, wrong method.
async fn all_kinds(stage: &Stage, headers: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut browser = stage.browser().await;
    for line in ["GET /http-bind", "OPTIONS /http-bind", "DELETE /http-bind"] {
        answers.push(browser.request(line, headers).await);
    }
    for body in ["", "<body/>", "x", "<!DOCTYPE x><x/>"] {
        browser.send_with(headers, body).await;
        answers.push(browser.answer().await);
    }
    browser.send_with(headers, &"x".repeat(300_000)).await;
    answers.push(browser.answer().await);
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 204, 405, 400, 400, 400, 400, 413]);
    answers
}

#[tokio::test]
async fn row_80_and_82_every_answer_may_be_read_by_scripts_and_not_be_kept() {
    let stage = Stage::new();
    for answer in all_kinds(&stage, "Origin: https://any.example\r\n").await {
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "never");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn b09_a_list_of_origins_admits_its_own_only() {
    let stage = Stage::with(Settings::default(), vec!["https://chat.example".into()]);
    for answer in all_kinds(&stage, "Origin: https://chat.example\r\n").await {
        assert_eq!(answer.header("access-control-allow-origin"), "https://chat.example");
        assert_eq!(answer.header("vary"), "Origin");
    }
    for headers in ["Origin: https://evil.example\r\n", "Origin: null\r\n", ""] {
        for answer in all_kinds(&stage, headers).await {
            assert_eq!(answer.header("access-control-allow-origin"), "");
            assert_eq!(answer.header("vary"), "Origin");
        }
    }
}

#[tokio::test]
async fn row_4_no_answer_is_to_be_sniffed_or_run() {
    let stage = Stage::new();
    let mut answers = all_kinds(&stage, "").await;
    let mut browser = stage.browser().await;
    answers.push(browser.request("GET /", "").await);
    answers.push(browser.request("GET /none", "").await);
    for answer in answers {
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer:?}");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'", "{answer:?}");
    }
}

#[tokio::test]
async fn row_80_a_preflight_is_answered() {
    let stage = Stage::new();
    let headers = "Origin: https://any.example\r\nAccess-Control-Request-Method: POST\r\n\
        Access-Control-Request-Headers: content-type\r\n";
    let answer = stage.browser().await.request("OPTIONS /http-bind", headers).await;
    assert_eq!((answer.status, &*answer.body), (204, ""));
    assert_eq!(answer.header("access-control-allow-methods"), "POST, OPTIONS");
    assert_eq!(answer.header("access-control-allow-headers"), "Content-Type");
}

#[tokio::test]
async fn row_83_get_on_the_endpoint_says_what_it_is() {
    let stage = Stage::new();
    let mut browser = stage.browser().await;
    let answer = browser.request("GET /http-bind?x=1", "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("BOSH"));
    let head = browser.request("HEAD /http-bind", "").await;
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_eq!(head.header("content-length"), answer.body.len().to_string());
}

#[tokio::test]
async fn pages_stand_beside_the_endpoint() {
    let stage = Stage::new();
    let mut browser = stage.browser().await;
    let page = browser.request("GET /?q", "").await;
    assert_eq!((page.status, &*page.body), (200, "Hello"));
    assert_eq!(page.header("access-control-allow-origin"), "", "pages are for their own origin");
    assert_eq!(browser.request("GET /ws", "").await.status, 426);
    assert_eq!(browser.request("GET /none", "").await.status, 404);
    assert_eq!(browser.request("GET /http-bind/", "").await.status, 404);
    let post = browser.request("POST /", "Content-Length: 0\r\n").await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
    assert_eq!(browser.request("HEAD /", "").await.header("content-length"), "5");
}

/// RFC 9110 10.1.1
#[tokio::test]
async fn who_waits_for_leave_to_send_a_body_gets_it_where_the_body_is_read() {
    let stage = Stage::new();
    let mut browser = stage.browser().await;
    for (length, statuses) in [(7, [100, 400]), (1_000_000, [413, 0])] {
        let head = format!("POST /http-bind HTTP/1.1\r\nContent-Length: {length}\r\n");
        browser.raw(format!("{head}Expect: 100-Continue\r\n\r\n").as_bytes()).await;
        assert_eq!(browser.answer().await.status, statuses[0]);
        if length == 7 {
            browser.raw(b"<body/>").await;
            assert_eq!(browser.answer().await.status, statuses[1]);
        }
    }
    // Who does not wait for it is not told.
    let mut browser = stage.browser().await;
    browser.send_with("Expect: 100-continue\r\n", "<body/>").await;
    assert_eq!(browser.answer().await.status, 400);
}

#[tokio::test]
async fn b06_a_body_that_nobody_reads_is_no_request() {
    let stage = Stage::new();
    let inner = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for target in ["/", "/none", "/ws", "/http-bind"] {
        let mut browser = stage.browser().await;
        let head = format!("GET {target} HTTP/1.1\r\nContent-Length: {}\r\n\r\n", inner.len());
        browser.raw(format!("{head}{inner}").as_bytes()).await;
        let answer = browser.answer().await;
        assert_eq!(answer.header("connection"), "close", "{target}: {answer:?}");
        assert_eq!(browser.read_answer(false).await, None, "{target}");
    }
}
