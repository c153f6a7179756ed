//! Which OCSP responses are taken from files.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use model::tls::Staple;
use tempfile::TempDir;

use super::{
    super::{PkiError, staple},
    issue::{Issued, issue, root},
};

/// What `signer` says of a certificate by `issuer`, as `openssl ocsp` puts it: `verdict` is the beginning of
/// a line of its index with `{}` for the serial number, `more` says how long.
fn response(issuer: &Issued, signer: &Issued, about: &Issued, verdict: &str, more: &[&str]) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let put = |name: &str, bytes: &[u8]| fs::write(path(name), bytes).unwrap();
    put("issuer", &issuer.pem());
    put("signer", &signer.pem());
    put("key", &signer.key_pem());
    put("about", &about.pem());
    let serial = about.certificate.serial_number().to_bn().unwrap().to_hex_str().unwrap();
    put("index", format!("{}\tunknown\t/CN=a\n", verdict.replace("{}", &serial)).as_bytes());
    openssl(&["-issuer", &path("issuer"), "-cert", &path("about"), "-no_nonce", "-reqout", &path("asked")]);
    let answer = ["-index", &path("index"), "-CA", &path("issuer"), "-reqin", &path("asked")];
    let signed = ["-rsigner", &path("signer"), "-rkey", &path("key"), "-respout", &path("said")];
    openssl(&[&answer[..], &signed, more].concat());
    fs::read(path("said")).unwrap()
}

const GOOD: &str = "V\t491231235959Z\t\t{}";

fn openssl(words: &[&str]) {
    let output = Command::new("openssl").arg("ocsp").args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn good(ca: &Issued, about: &Issued) -> Vec<u8> {
    response(ca, ca, about, GOOD, &["-ndays", "7"])
}

pub(crate) fn read(file: &[u8], chain: &[&Issued]) -> Result<Staple, PkiError> {
    staple(file, &chain.iter().map(|one| one.certificate.clone()).collect::<Vec<_>>())
}

#[test]
fn a_response_is_taken_with_the_time_until_which_it_is_good() {
    let ca = root("ca");
    let shop = ca.issue("shop", &["shop.example"]);
    let staple = read(&good(&ca, &shop), &[&shop, &ca]).unwrap();
    let left = staple.until.unwrap().duration_since(SystemTime::now()).unwrap();
    let days = |count: u64| Duration::from_secs(count * 86_400);
    assert!(left <= days(7) && left > days(6), "{left:?}");
    assert!(staple.is_current(SystemTime::now()) && !staple.is_current(SystemTime::now() + days(7)));

    let endless = read(&response(&ca, &ca, &shop, GOOD, &[]), &[&shop, &ca]).unwrap();
    assert_eq!(endless.until, None);
    assert!(endless.is_current(SystemTime::now() + days(7000)));

    // The issuer is below another authority.
    let below = issue(&super::issue::Order { name: "below", ca: true, ..Default::default() }, Some(&ca));
    let leaf = below.issue("leaf", &[]);
    read(&good(&below, &leaf), &[&leaf, &below]).unwrap();
    read(&good(&below, &leaf), &[&leaf, &below, &ca]).unwrap();
}

#[test]
fn other_files_are_refused() {
    let (ca, stranger) = (root("ca"), root("ca"));
    let [shop, other] = ["shop", "other"].map(|name| ca.issue(name, &[]));
    let revoked = response(&ca, &ca, &shop, "R\t491231235959Z\t260101000000Z\t{}", &["-ndays", "7"]);
    let unknown = response(&ca, &ca, &shop, "V\t491231235959Z\t\t00", &[]);
    // Tag, length and status of a response without more: "try later".
    let no_answer = [0x30, 3, 0x0a, 1, 3];
    for (file, expected) in [
        (&b""[..], "not an OCSP response in DER, as `openssl ocsp -respout FILE` writes it"),
        (&shop.pem(), "not an OCSP response in DER, as `openssl ocsp -respout FILE` writes it"),
        (&no_answer, "the issuer's server says that it has no answer; fetch it again"),
        (&good(&ca, &other), "is not about CN=shop; fetch the one for this certificate"),
        (&response(&ca, &stranger, &shop, GOOD, &[]), "is not signed by the issuer of CN=shop"),
        (&revoked, "CN=shop is revoked; use another certificate"),
        (&unknown, "the issuer does not know CN=shop; ask it why"),
    ] {
        assert_eq!(read(file, &[&shop, &ca]).unwrap_err().to_string(), expected);
    }
    let alone = read(&good(&ca, &shop), &[&shop]).unwrap_err().to_string();
    assert!(alone.contains("put that into the certificate's file, too"), "{alone}");
}

/// Where the configuration's test finds what `openssl ocsp` says.
pub(crate) fn put(directory: &Path, name: &str, ca: &Issued, about: &Issued) {
    fs::write(directory.join(name), good(ca, about)).unwrap();
}
