//! Keys and certificates.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use stemedb_client::{Assertion, Client, Error, RetryPolicy, Scope};

use crate::{program::run, server::Server};

#[test]
fn a_key_from_a_file_opens_a_server_with_a_certificate_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), cert.pem()).unwrap();
    std::fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
    run(["init", "--data-dir", &path("db")]).ok();
    let key = [
        "keys",
        "create",
        "--data-dir",
        &path("db"),
        "--scopes",
        "read,write,admin",
        "--out",
        &path("api.key"),
    ];
    run(key).ok();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let options = [
        "--bind",
        "127.0.0.1:0",
        "--tls-certificate-file",
        &cert,
        "--tls-key-file",
        &key,
        "--auth",
        "required",
        "--admin-needs-key",
    ];
    let server = Server::start_with(&dir.path().join("db"), &options);
    let port = server.address.rsplit_once(':').unwrap().1;
    let url = format!("https://localhost:{port}");
    let builder = || Client::builder(&url).retry(RetryPolicy::never());

    let client = builder().authorities_file(&cert).key_file(path("api.key")).build().unwrap();
    assert!(client.assert(&Assertion::new("s", "p", 1, "a")).unwrap().created);
    let without = builder().authorities_file(&cert).only_named_authorities().build().unwrap();
    assert_eq!(without.assert(&Assertion::new("s", "p", 2, "a")).unwrap_err().code(), Some("key_required"));
    // Without the certificate nobody is believed to be the server.
    let wary = builder().key_file(path("api.key")).build();
    match wary {
        Ok(wary) => assert!(matches!(wary.health(), Err(Error::Connection { .. }))),
        // A machine without any certificates.
        Err(error) => assert!(matches!(error, Error::Setup { what: "TLS", .. }), "{error:?}"),
    }

    // A key that may only read, until it is revoked.
    let made = client.create_key(&[Scope::Read], "reader", None, None).unwrap();
    let reader = builder().authorities_file(&cert).key(made.key.clone().unwrap()).build().unwrap();
    assert_eq!(reader.claims(&stemedb_client::Listing::all()).count(), 1);
    let problem = reader.assert(&Assertion::new("s", "p", 3, "a")).unwrap_err();
    assert_eq!(problem.code(), Some("scope_missing"));
    assert!(!format!("{made:?}").contains(&made.key.clone().unwrap()));
    assert!(client.revoke_key(&made.id).unwrap() && !client.revoke_key("0123456789ab").unwrap());
    assert_eq!(reader.health().err().and_then(|error| error.code().map(str::to_owned)), None);
    assert_eq!(reader.knowledge().unwrap_err().code(), Some("key_refused"));
    assert_eq!(server.stop().0, Some(0));
}
