//! Which clients get what the issuer of a certificate says of it.

use std::time::SystemTime;

use model::{served::Tls, tls::Staple};

use super::handshakes::{Site, settings};
use crate::pki::{
    server,
    tests::{
        issue::root,
        staples::{good, read},
    },
};

#[test]
fn clients_that_ask_get_that_of_their_certificate_while_it_is_good() {
    let ca = root("ca");
    let of = |name: &str, staple: Option<Staple>| {
        let own = ca.issue(name, &[&format!("{name}.example")]);
        let staple = staple.or_else(|| Some(read(&good(&ca, &own), &[&own, &ca]).unwrap()));
        let mut server = server(&[own.certificate, ca.certificate.clone()], &[own.key]).unwrap();
        server.staple = staple;
        server
    };
    let old = Staple { response: good(&ca, &ca.issue("old", &[])), until: Some(SystemTime::now()) };
    let mut bare = of("bare", None);
    bare.staple = None;
    let certificates = vec![of("shop", None), of("other", None), of("old", Some(old)), bare];
    let site = Site::start(&settings(certificates));
    let serial = |name: &str| {
        let said = site.talk(&["-status", "-servername", &format!("{name}.example")]);
        assert!(said.contains("asked for"), "{said}");
        let said = said.split("OCSP Response Data:").nth(1)?;
        assert!(said.contains("Cert Status: good"), "{said}");
        said.lines().find_map(|line| line.trim().strip_prefix("Serial Number: ").map(str::to_owned))
    };
    let (shop, other) = (serial("shop").unwrap(), serial("other").unwrap());
    assert_ne!(shop, other);
    assert_eq!(serial("old"), None, "its time is over");
    assert_eq!(serial("bare"), None);
    let said = site.talk(&["-servername", "shop.example"]);
    assert!(said.contains("asked for") && !said.contains("OCSP Response Data:"), "nobody asked: {said}");

    // A new response takes effect as a new certificate does.
    site.change(&Tls { ..settings(vec![of("shop", None)]) }).unwrap();
    let again = serial("shop").unwrap();
    assert_ne!(again, shop);
}
