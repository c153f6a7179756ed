//! Does what is recommended for a file that is refused make one that is taken? By the program `openssl` itself.

use std::{fs, path::Path, process::Command};

use openssl::{pkcs12::Pkcs12, symm::Cipher};
use tempfile::TempDir;

use super::{
    super::{certificates, private_keys},
    issue::{Issued, root},
};

/// Runs a command in this folder, with more options at its end; what it prints.
fn run(folder: &Path, command: &str, options: &[&str]) -> Vec<u8> {
    let mut words = command.split(' ').chain(options.iter().copied());
    let done = Command::new(words.next().unwrap()).args(words).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// The commands that a message recommends.
fn advice(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

fn folder_with(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn is_of(own: &Issued, file: &[u8]) {
    assert_eq!(certificates(file).unwrap(), certificates(&own.pem()).unwrap());
}

#[test]
fn an_encrypted_key_is_stored_without_its_passphrase() {
    let own = root("own");
    let file = own.key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"secret").unwrap();
    let message = private_keys(&file).unwrap_err().to_string();
    let folder = folder_with(&[("ENCRYPTED", &file)]);
    run(folder.path(), advice(&message)[0], &["-passin", "pass:secret"]);
    private_keys(&fs::read(folder.path().join("KEY")).unwrap()).unwrap();
}

#[test]
fn binary_files_become_pem() {
    let own = root("own");
    let mut bundle = Pkcs12::builder();
    let bundle = bundle.name("own").pkey(&own.key).cert(&own.certificate).build2("secret").unwrap();
    let files = [own.certificate.to_der().unwrap(), bundle.to_der().unwrap()];
    let folder = folder_with(&[("0", &files[0]), ("1", &files[1])]);
    for (number, file) in files.iter().enumerate() {
        let message = certificates(file).unwrap_err().to_string();
        let name = number.to_string();
        let secret: &[&str] = if number == 0 { &[] } else { &["-passin", "pass:secret"] };
        let made = run(folder.path(), advice(&message)[number], &[&["-in", &name], secret].concat());
        is_of(&own, &made);
        if number == 1 {
            private_keys(&made).unwrap();
        }
    }
}

#[test]
fn pkcs7_becomes_certificates() {
    let own = root("own");
    let folder = folder_with(&[("own", &own.pem())]);
    let file = run(folder.path(), "openssl crl2pkcs7 -nocrl -certfile own", &[]);
    let message = certificates(&file).unwrap_err().to_string();
    fs::write(folder.path().join("bundle"), &file).unwrap();
    is_of(&own, &run(folder.path(), advice(&message)[0], &["-in", "bundle"]));
}
