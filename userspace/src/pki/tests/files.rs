//! What is taken from PEM files and why others are refused.

use model::tls::ServerCertificate;
use openssl::{hash::MessageDigest, symm::Cipher, x509::X509};

use super::{
    super::{PkiError, authorities, certificates, private_keys, server},
    issue::{Issued, Order, ec, issue, root, rsa},
};

/// What is said of a server's certificate with these files.
fn said(chain: &[u8], key: &[u8]) -> String {
    read(chain, key).map_or_else(|error| error.to_string(), |_| String::new())
}

fn read(chain: &[u8], key: &[u8]) -> Result<ServerCertificate, PkiError> {
    server(&certificates(chain)?, &private_keys(key)?)
}

fn pem(chain: &[&Issued]) -> Vec<u8> {
    chain.iter().flat_map(|one| one.pem()).collect()
}

/// A root, an intermediate and a server's certificate.
fn three() -> [Issued; 3] {
    let root = root("root");
    let intermediate = issue(&Order { name: "intermediate", ca: true, ..Order::default() }, Some(&root));
    let leaf = intermediate.issue("leaf", &["shop.example"]);
    [root, intermediate, leaf]
}

#[test]
fn keys_of_every_usual_form() {
    let rsa = rsa(2048);
    let ec = ec();
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let sec1 = ec.ec_key().unwrap().private_key_to_pem().unwrap();
    for (what, key, file) in [
        ("RSA PRIVATE KEY", &rsa, rsa.rsa().unwrap().private_key_to_pem().unwrap()),
        ("PKCS#8 RSA", &rsa, rsa.private_key_to_pem_pkcs8().unwrap()),
        ("PKCS#8 EC", &ec, ec.private_key_to_pem_pkcs8().unwrap()),
        ("EC PRIVATE KEY", &ec, sec1.clone()),
        ("with parameters before", &ec, [parameters.as_bytes(), &sec1].concat()),
        ("the second of two", &ec, [rsa.private_key_to_pem_pkcs8().unwrap(), sec1].concat()),
    ] {
        let own = issue(&Order { key: key.clone(), ..Order::default() }, None);
        let read = read(&own.pem(), &file).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(read.key.pkcs8(), key.private_key_to_pkcs8().unwrap(), "{what}");
    }
}

#[test]
fn a_chain_and_its_names() {
    let [root, intermediate, _] = three();
    let leaf = intermediate.issue("Leaf.example", &["Shop.Example", "*.shop.example"]);
    let text = [b"Subject: CN=leaf\r\n".to_vec(), pem(&[&leaf, &intermediate, &root])].concat();
    let crlf = String::from_utf8(text).unwrap().replace('\n', "\r\n");
    let read = read(crlf.as_bytes(), &leaf.key_pem()).unwrap();
    let der = |issued: &Issued| issued.certificate.to_der().unwrap();
    assert_eq!(read.chain, [der(&leaf), der(&intermediate), der(&root)]);
    assert_eq!(read.domains.iter().collect::<Vec<_>>(), ["*.shop.example", "shop.example"]);

    let old = root.issue("Old.example", &[]);
    let old = server(&[old.certificate], &[old.key]).unwrap();
    assert_eq!(
        old.domains.iter().collect::<Vec<_>>(),
        ["old.example"],
        "the common name if there is no other"
    );
}

#[test]
fn chains_that_do_not_hang_together() {
    let [root, intermediate, leaf] = three();
    let key = leaf.key_pem();
    let right = "the chain is in the wrong order; put the server's own certificate first and each issuer after what \
                 it issued: CN=leaf, then CN=intermediate, then CN=root";
    assert_eq!(said(&pem(&[&leaf, &root, &intermediate]), &key), right);
    assert_eq!(said(&pem(&[&root, &intermediate, &leaf]), &key), right);
    assert_eq!(
        said(&pem(&[&leaf, &root]), &key),
        "CN=root did not issue anything in the chain of CN=leaf; leave it out, or put what is missing before it"
    );
    assert_eq!(said(&pem(&[&leaf, &leaf]), &key), "has a certificate twice; leave one of the two out");
    let namesake = issue(&Order { name: "intermediate", ca: true, ..Order::default() }, Some(&root));
    assert!(
        said(&pem(&[&leaf, &namesake]), &key).starts_with("CN=intermediate did not issue anything"),
        "the name is not enough"
    );
}

#[test]
fn what_does_not_go_together_or_is_out_of_time() {
    let one = root("one");
    let other = root("other");
    assert_eq!(
        said(&one.pem(), &other.key_pem()),
        "the private key does not belong to CN=one; name the key that this certificate was made for"
    );
    let expired = issue(&Order { name: "a\nb", days: (-9, -1), ..Order::default() }, None);
    let said_of = said(&expired.pem(), &expired.key_pem());
    assert!(said_of.starts_with("CN=a\\nb expired on "), "{said_of}");
    assert!(said_of.ends_with(" GMT; use a renewed one"), "{said_of}");
    let early = issue(&Order { days: (1, 9), ..Order::default() }, None);
    assert!(said(&early.pem(), &early.key_pem()).starts_with("CN=a name is not valid before "));
    let [root, _, _] = three();
    let intermediate =
        issue(&Order { name: "late", ca: true, days: (-9, -1), ..Order::default() }, Some(&root));
    let leaf = intermediate.issue("leaf", &[]);
    assert!(said(&pem(&[&leaf, &intermediate]), &leaf.key_pem()).starts_with("CN=late expired"));
}

#[test]
fn keys_that_are_refused() {
    let own = issue(&Order { key: rsa(2048), ..Order::default() }, None);
    let cipher = Cipher::aes_128_cbc();
    let pkcs8 = own.key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap();
    let old = own.key.rsa().unwrap().private_key_to_pem_passphrase(cipher, b"secret").unwrap();
    let encrypted = "the private key on line 1 is encrypted, and nobody is there to be asked for the passphrase; \
                     store it without one: `openssl pkey -in ENCRYPTED -out KEY`";
    let public = own.key.public_key_to_pem().unwrap();
    let garbage = "-----BEGIN PRIVATE KEY-----\nTWFueSBoYW5kcw==\n-----END PRIVATE KEY-----\n";
    for (file, expected) in [
        (&pkcs8[..], encrypted),
        (&old, encrypted),
        (&public, "a PUBLIC KEY on line 1; use a PRIVATE KEY (PKCS#8), RSA PRIVATE KEY or EC PRIVATE KEY"),
        (&own.pem(), "has no private key; name the file that the key of the certificate is in"),
        (garbage.as_bytes(), "the PRIVATE KEY on line 1 is damaged or of an unknown kind; copy it again"),
    ] {
        assert_eq!(said(&own.pem(), file), expected);
    }
}

#[test]
fn files_that_are_no_pem() {
    let own = root("own");
    let (text, key) = (String::from_utf8(own.pem()).unwrap(), own.key_pem());
    let half = &text[..text.len() / 2];
    let damaged = text.replacen("MII", "MAA", 1);
    let endless = "the CERTIFICATE that begins on line 1 has no END line; copy the file again";
    for (file, expected) in [
        (&b""[..], "empty; a PEM file belongs here, which begins with -----BEGIN"),
        (b" \n", "empty; a PEM file belongs here, which begins with -----BEGIN"),
        (b"listen 443\n", "not PEM; a line -----BEGIN \u{2026} belongs there"),
        (half.as_bytes(), endless),
        ([half, "\n", &text].concat().as_bytes(), endless),
        (b"-----END CERTIFICATE-----\n", "the END line 1 has no BEGIN line; copy the file again"),
        (damaged.as_bytes(), "the certificate on line 1 is damaged; copy it again as it was issued"),
        (
            &own.certificate.to_der().unwrap(),
            "binary, so DER or PKCS#12 and not PEM; `openssl x509 -inform der` or `openssl pkcs12 -nodes` turn these \
             into PEM",
        ),
        (&key, "has no certificate; a block that begins with -----BEGIN CERTIFICATE----- belongs there"),
        (
            b"\n-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n",
            "PKCS#7 on line 2; `openssl pkcs7 -print_certs` turns it into PEM",
        ),
        (
            b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            "a CERTIFICATE REQUEST on line 1; use a CERTIFICATE",
        ),
    ] {
        assert_eq!(said(file, &key), expected, "{}", String::from_utf8_lossy(file));
    }
}

#[test]
fn authorities_and_what_is_none() {
    let [root, intermediate, leaf] = three();
    let both = pem(&[&root, &intermediate]);
    assert_eq!(authorities(&both).unwrap().certificates.len(), 2);
    let said = |file: &[u8]| authorities(file).unwrap_err().to_string();
    assert_eq!(
        said(&pem(&[&root, &leaf])),
        "CN=leaf is not a CA's certificate, so it can issue none; use that of the CA that issued it"
    );
    let with_key = [root.pem(), root.key_pem()].concat();
    assert!(said(&with_key).starts_with("has a private key on line "));
    let expired = issue(&Order { ca: true, days: (-9, -1), ..Order::default() }, None);
    assert!(said(&expired.pem()).contains("expired on"));

    // The OTC guide's CA is of version 1, which has no extensions, and signed with SHA-1.
    let mut old = X509::builder().unwrap();
    old.set_subject_name(root.certificate.subject_name()).unwrap();
    old.set_issuer_name(root.certificate.subject_name()).unwrap();
    old.set_not_before(root.certificate.not_before()).unwrap();
    old.set_not_after(root.certificate.not_after()).unwrap();
    old.set_pubkey(&root.key).unwrap();
    old.sign(&root.key, MessageDigest::sha1()).unwrap();
    authorities(&old.build().to_pem().unwrap()).unwrap();
}

#[test]
fn no_key_in_what_is_shown() {
    let own = root("own");
    let secret = own.key.private_key_to_pkcs8().unwrap();
    let shown = format!("{:?}", own.server());
    assert_eq!(shown, r#"ServerCertificate { domains: {"own"}, .. }"#);
    let shown = format!("{:?}", own.server().key);
    assert!(!shown.contains(&format!("{}", secret[secret.len() / 2])), "{shown}");
    assert_eq!(shown, "PrivateKey");
}
