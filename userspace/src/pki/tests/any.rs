//! Whatever a file holds: it is read, or refused in one line that has nothing of a key in it. `cargo xtask fuzz certificates` looks
//! for longer.

use std::sync::LazyLock;

use bolero::{TypeGenerator, generator::produce};
use model::tls::TlsPolicy;

use super::{
    super::{authorities, certificates, presentable, private_keys, server},
    issue::{Order, issue, root},
};
use crate::edit::Edit;

/// A key, the certificate that it belongs to and its issuer's, in one file.
static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let root = root("root");
    let own = issue(&Order { domains: &["shop.example", "*.shop.example"], ..Order::default() }, Some(&root));
    [own.key_pem(), own.pem(), root.pem()].concat()
});

/// What a listener would be given, if it can be had.
fn read(file: &[u8]) {
    let made = certificates(file).and_then(|chain| server(&chain, &private_keys(file)?));
    // Whatever passes can be used.
    let made = made.map(|certificate| presentable(&certificate, TlsPolicy::default()).unwrap());
    for refused in [made, authorities(file).map(drop), private_keys(file).map(drop)] {
        let Err(error) = refused else { continue };
        let said = error.to_string();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!said.contains(char::is_control), "{said:?}");
        let key = str::from_utf8(&FILE).unwrap().lines().nth(1).unwrap();
        assert!(!said.contains(&key[..16]), "{}", said);
    }
    assert!(openssl::error::ErrorStack::get().errors().is_empty(), "errors are left for the next handshake");
}

#[derive(Clone, Debug, TypeGenerator)]
enum Odd {
    Nothing,
    Byte(u8),
    Word(u8),
}

const WORDS: [&str; 6] = ["\n", "-----", "-----BEGIN ", "-----END CERTIFICATE-----", "PRIVATE KEY", "="];

#[test]
fn certificates_and_keys() {
    let edits = produce::<Vec<Edit<Odd>>>().with().len(0..4usize);
    bolero::check!(name = "certificates").with_generator(edits).for_each(|edits| {
        let mut file = FILE.clone();
        for edit in edits {
            let odd = match edit.odd {
                Odd::Nothing => Vec::new(),
                Odd::Byte(odd) => vec![odd],
                Odd::Word(word) => WORDS[usize::from(word) % WORDS.len()].into(),
            };
            edit.make(&mut file, 80, odd);
        }
        read(&file);
    });
}

#[test]
fn any_bytes() {
    bolero::check!().with_type::<Vec<u8>>().for_each(|file| read(file));
}
