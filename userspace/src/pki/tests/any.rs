//! Whatever a file holds: it is read, or refused in one line that has nothing of a key in it.

use std::sync::LazyLock;

use model::tls::TlsPolicy;
use proptest::{prelude::*, sample::Index};

use super::{
    super::{authorities, certificates, presentable, private_keys, server},
    issue::{Order, issue, root},
};

/// A key, the certificate that it belongs to and its issuer's, in one file.
static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let root = root("root");
    let own = issue(&Order { domains: &["shop.example", "*.shop.example"], ..Order::default() }, Some(&root));
    [own.key_pem(), own.pem(), root.pem()].concat()
});

/// What a listener would be given, if it can be had.
fn read(file: &[u8]) -> Result<(), TestCaseError> {
    let made = certificates(file).and_then(|chain| server(&chain, &private_keys(file)?));
    // Whatever passes can be used.
    let made = made.map(|certificate| presentable(&certificate, TlsPolicy::default()).unwrap());
    for refused in [made, authorities(file).map(drop), private_keys(file).map(drop)] {
        let Err(error) = refused else { continue };
        let said = error.to_string();
        prop_assert_eq!(said.lines().count(), 1, "{}", said);
        prop_assert!(!said.contains(char::is_control), "{:?}", said);
        let key = str::from_utf8(&FILE).unwrap().lines().nth(1).unwrap();
        prop_assert!(!said.contains(&key[..16]), "{}", said);
    }
    prop_assert!(
        openssl::error::ErrorStack::get().errors().is_empty(),
        "errors are left for the next handshake"
    );
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes(file in proptest::collection::vec(any::<u8>(), 0..300)) {
        read(&file)?;
    }

    /// A piece of a right file is replaced by another piece of it or by something odd.
    #[test]
    fn near_misses(
        edits in proptest::collection::vec((any::<Index>(), 0..80usize, any::<Index>(), 0..80usize, "\\PC{0,3}|-----[A-Z ]{0,9}|\n"), 0..3),
    ) {
        let mut file = FILE.clone();
        for (at, length, from, copied, odd) in edits {
            let from = from.index(file.len());
            let piece: Vec<u8> = file.iter().skip(from).take(copied).copied().chain(odd.bytes()).collect();
            let at = at.index(file.len());
            let end = (at + length).min(file.len());
            file.splice(at..end, piece);
        }
        read(&file)?;
    }
}
