//! `[[certificate]]`, and the files that it names.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    document::{Shape, Table, Value},
    scalar,
};
use crate::{
    l7::tls,
    model::tls::{Authorities, ServerCertificate},
};

const CERTIFICATE: Shape = Shape { path: "certificate", keys: &["name", "certificate", "key", "ocsp", "ca"] };

/// Bytes of a PEM file that are read at most; the system's whole list of authorities has a quarter of it.
const MOST: u64 = 1 << 20;

/// What the certificates' tables and files say.
#[derive(Default)]
pub(super) struct Certificates {
    servers: BTreeMap<String, Arc<ServerCertificate>>,
    authorities: BTreeMap<String, Arc<Authorities>>,
    /// Lines of all names, also of those that something is wrong with.
    names: HashMap<String, usize>,
}

/// Reads the tables and the files; their paths begin at `directory`.
pub(super) fn read(file: &Table<'_>, directory: &Path) -> Certificates {
    let mut read = Certificates::default();
    for table in file.tables("certificate", &CERTIFICATE) {
        let name = scalar::unique_name(&table, &mut read.names);
        if let Some(ca) = table.get("ca") {
            for value in ["certificate", "key", "ocsp"].into_iter().filter_map(|key| table.get(key)) {
                value.refuse("a CA has \"ca\" alone; leave this out, or \"ca\" if it is a server's");
            }
            let authorities = Named::open(ca, directory).and_then(|pem| {
                pem.refuse(tls::authorities(name.as_deref().unwrap_or_default(), &pem.bytes))
            });
            read.authorities.extend(name.zip(authorities.map(Arc::new)));
        } else {
            let server = server(&table, name.as_deref().unwrap_or_default(), directory);
            read.servers.extend(name.zip(server.map(Arc::new)));
        }
    }
    read
}

fn server(table: &Table<'_>, name: &str, directory: &Path) -> Option<ServerCertificate> {
    if table.get("certificate").is_none() && table.get("key").is_none() {
        table.refuse("has neither \"certificate\" and \"key\", which a server needs, nor \"ca\"");
        return None;
    }
    let certificate = table.require("certificate").and_then(|value| Named::open(value, directory));
    let key = table.require("key").and_then(|value| Named::open(value, directory));
    let chain = certificate.as_ref().and_then(|pem| pem.refuse(tls::certificates(&pem.bytes)));
    let keys = key.as_ref().and_then(|pem| pem.refuse(tls::private_keys(&pem.bytes)));
    let staple = table.get("ocsp").map(|value| Named::open(value, directory));
    let chain = chain?;
    let server = certificate?.refuse(tls::server(name, &chain, &keys?))?;
    let Some(staple) = staple else { return Some(server) };
    let staple = staple?;
    let response = staple.refuse(tls::staple(&staple.bytes, &chain))?;
    if !response.is_current(SystemTime::now()) {
        tracing::warn!("{:?} is out of date, so clients are not given it; fetch a new one", staple.path);
    }
    Some(ServerCertificate { staple: Some(response), ..server })
}

/// A file that a value names.
struct Named<'a> {
    value: Value<'a>,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl<'a> Named<'a> {
    fn open(value: Value<'a>, directory: &Path) -> Option<Self> {
        let path = directory.join(value.string()?);
        match contents(&path) {
            Ok(bytes) => Some(Self { value, path, bytes }),
            Err(reason) => {
                value.refuse(format!("{path:?} cannot be read: {reason}"));
                None
            }
        }
    }

    /// Reports what is wrong with what the file holds.
    fn refuse<T>(&self, found: anyhow::Result<T>) -> Option<T> {
        found.map_err(|error| self.value.refuse(format!("{:?}: {error:#}", self.path))).ok()
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    // Opening a pipe would wait for whoever writes into it.
    let regular = path.metadata().map_err(|error| error.to_string())?.is_file();
    if !regular {
        return Err("not a file; name one".into());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MOST {
        return Err("larger than 1 MiB, so no file of certificates; name another".into());
    }
    Ok(bytes)
}

impl Certificates {
    /// The server's certificate that a value names; reported if there is none.
    pub(super) fn server(&self, value: Value<'_>) -> Option<Arc<ServerCertificate>> {
        let name = value.string()?;
        let found = self.servers.get(name);
        if found.is_none() {
            let ca = "is a CA, which no server can use; name one with \"certificate\" and \"key\"";
            self.refuse(value, name, self.authorities.contains_key(name).then_some(ca));
        }
        found.cloned()
    }

    /// The authorities that a value names; reported if there are none.
    pub(super) fn authorities(&self, value: Value<'_>) -> Option<Arc<Authorities>> {
        let name = value.string()?;
        let found = self.authorities.get(name);
        if found.is_none() {
            let server = "is a server's certificate, which can issue none; name one with \"ca\"";
            self.refuse(value, name, self.servers.contains_key(name).then_some(server));
        }
        found.cloned()
    }

    fn refuse(&self, value: Value<'_>, name: &str, other_kind: Option<&str>) {
        if let Some(reason) = other_kind {
            value.refuse(format!("certificate {name:?} {reason}"));
        } else if !self.names.contains_key(name) {
            value.refuse(format!(
                "no certificate is named {name:?}; write [[certificate]] with this name, or name another"
            ));
        }
    }
}
