//! How much a caller may ask for, seen from outside.

use serde_json::json;
use stemedb_api::http::{AuthMode, Rate, RouterParts};

use super::setup::{LOCAL, Peer, REMOTE, Setup, security};

fn limited(mode: AuthMode, quota: u32) -> Setup {
    let mut options = security(mode);
    let rate = Some(Rate { quota, window_seconds: 600 });
    (options.limits.reads, options.limits.bulk) = (rate, rate);
    options.auth.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    Setup::with(RouterParts { security: options, ..RouterParts::default() })
}

#[test]
fn who_has_used_up_its_quota_is_told_when_to_come_again() {
    let setup = limited(AuthMode::Auto, 3);
    let ask = |peer| setup.send(peer, "GET", "/v1/claims", &[], "");
    for left in [2, 1, 0] {
        let reply = ask(REMOTE);
        assert_eq!((reply.status, reply.header("ratelimit")), (200, &*format!("\"reads\";r={left}")));
        assert_eq!(reply.header("ratelimit-policy"), "\"reads\";q=3;w=600");
        assert_eq!(reply.header("retry-after"), "");
    }
    let refused = ask(REMOTE);
    assert_eq!(refused.problem(), (429, "rate_limited".into()));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((190..=200).contains(&wait), "a third of the window, not {wait}");
    assert_eq!(refused.header("ratelimit"), format!("\"reads\";r=0;t={wait}"));
    assert_eq!(
        (&refused.json()["retryable"], &refused.json()["violated-policies"]),
        (&true.into(), &json!(["reads"]))
    );
    // Others, other groups, programs on this machine, and whoever asks how the server is, go on.
    assert_eq!(ask(Peer { address: Some("192.0.2.8:1"), forwarded: false }).status, 200);
    assert_eq!(setup.send(REMOTE, "GET", "/v1/feed", &[], "").header("ratelimit"), "\"bulk\";r=2");
    for _ in 0..10 {
        assert_eq!(ask(LOCAL).header("ratelimit"), "");
        for target in ["/livez", "/readyz", "/v1/health", "/metrics", "/openapi.json"] {
            let reply = setup.send(REMOTE, "GET", target, &[], "");
            assert_eq!((reply.status, reply.header("ratelimit")), (200, ""), "{target}");
        }
    }
}

#[test]
fn a_key_is_one_caller_wherever_it_comes_from_and_a_forged_header_makes_no_other_caller() {
    let setup = limited(AuthMode::Required, 4);
    let (_, key) = setup.key(&["read"], json!({}));
    let authorization = format!("Bearer {key}");
    let with_key = |address, forwarded_for: &str| {
        let headers = [("authorization", &*authorization), ("x-forwarded-for", forwarded_for)];
        let peer = Peer { address: Some(address), forwarded: false };
        setup.send(peer, "GET", "/v1/claims", &headers, "").status
    };
    for address in ["192.0.2.1:1", "[2001:db8::1]:1", "127.0.0.1:1", "10.0.0.1:1"] {
        assert_eq!(with_key(address, "1.1.1.1"), 200);
    }
    assert_eq!(with_key("198.51.100.1:1", "2.2.2.2"), 429);

    // Without a key: guesses are charged to the address, whatever the header says, unless a trusted proxy says it.
    let guess = |address, forwarded_for: String| {
        let headers = [("authorization", "Bearer stemedb_x"), ("x-forwarded-for", &*forwarded_for)];
        setup
            .send(Peer { address: Some(address), forwarded: false }, "GET", "/v1/claims", &headers, "")
            .status
    };
    let forged: Vec<u16> = (0..6).map(|n| guess("203.0.113.9:1", format!("9.9.9.{n}"))).collect();
    assert_eq!(forged, [401, 401, 401, 401, 429, 429]);
    let honest: Vec<u16> = (0..6).map(|n| guess("10.0.0.1:1", format!("junk, 9.9.9.{n}"))).collect();
    assert_eq!(honest, [401; 6]);
    let same: Vec<u16> = (0..6).map(|n| guess("10.0.0.1:1", format!("{n}.1.1.1, 7.7.7.7"))).collect();
    assert_eq!(same, [401, 401, 401, 401, 429, 429], "the rightmost one counts");
}
