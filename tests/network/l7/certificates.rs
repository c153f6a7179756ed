//! Certificates for tests, issued with `openssl` step by step as an operator would.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

/// A directory with certificates and keys, `NAME.crt` and `NAME.key`.
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// None yet.
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// Where a file is.
    pub fn path(&self, file: &str) -> String {
        self.directory.path().join(file).to_str().unwrap().to_owned()
    }

    /// A CA of this name.
    pub fn authority(&self, name: &str) -> &Self {
        let subject = format!("/CN={name}");
        self.openssl(
            &[&self.request(name, &subject)[..], &["-x509", "-days", "30"].map(str::to_owned)].concat(),
        );
        self
    }

    /// A certificate for a domain, issued by a CA; its common name is the file's.
    pub fn issue(&self, authority: &str, name: &str, domain: &str) -> &Self {
        let request = self.path(&format!("{name}.csr"));
        let names = format!("subjectAltName=DNS:{domain}");
        let subject = format!("/CN={name}");
        let mut words = self.request(name, &subject);
        words.extend(["-addext", &names].map(str::to_owned));
        self.openssl(&words);
        fs::rename(self.path(&format!("{name}.crt")), &request).unwrap();
        let [ca, ca_key] = ["crt", "key"].map(|end| self.path(&format!("{authority}.{end}")));
        let own = self.path(&format!("{name}.crt"));
        let words =
            ["x509", "-req", "-in", &request, "-out", &own, "-days", "30", "-copy_extensions", "copy"];
        let issuer = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"];
        self.openssl(&[&words[..], &issuer].concat().into_iter().map(str::to_owned).collect::<Vec<_>>());
        self
    }

    /// Puts one certificate and its key in another's place, the key first.
    pub fn replace(&self, name: &str, by: &str) {
        for end in ["key", "crt"] {
            let new = PathBuf::from(self.path(&format!("{name}.{end}.new")));
            fs::copy(self.path(&format!("{by}.{end}")), &new).unwrap();
            fs::rename(new, self.path(&format!("{name}.{end}"))).unwrap();
        }
    }

    /// `[[certificate]]` of a server.
    pub fn server(&self, name: &str) -> String {
        let [certificate, key] = ["crt", "key"].map(|end| self.path(&format!("{name}.{end}")));
        format!("[[certificate]]\nname = \"{name}\"\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n")
    }

    /// `[[certificate]]` of a CA.
    pub fn ca(&self, name: &str) -> String {
        let ca = self.path(&format!("{name}.crt"));
        format!("[[certificate]]\nname = \"{name}\"\nca = \"{ca}\"\n")
    }

    fn request(&self, name: &str, subject: &str) -> Vec<String> {
        let [out, key] = ["crt", "key"].map(|end| self.path(&format!("{name}.{end}")));
        let words =
            ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"];
        let files = [subject, "-out", &out, "-keyout", &key];
        [&words[..], &files].concat().into_iter().map(str::to_owned).collect()
    }

    fn openssl(&self, words: &[String]) {
        let output = Command::new("openssl").args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
