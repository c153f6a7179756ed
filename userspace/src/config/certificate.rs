//! `[[certificate]]`, and the files that it names.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use model::{
    object::{Certificate, Material},
    tls::{Authorities, ServerCertificate},
};

use super::{
    document::{Shape, Table, Value},
    draft::Draft,
    meta,
};
use crate::pki::{self, PkiError};

pub(super) const CERTIFICATE: Shape =
    Shape { path: "certificate", keys: &["name", "certificate", "key", "ocsp", "ca", "description", "tags"] };

/// Bytes of a PEM file that are read at most; the system's whole list of authorities has a quarter of it.
const MOST: u64 = 1 << 20;

/// Reads the tables and the files; their paths begin at `directory`.
pub(super) fn read<'a>(file: &Table<'a>, draft: &mut Draft<'a>, directory: &Path) {
    for table in file.tables("certificate", &CERTIFICATE) {
        let named = draft.certificates.take(&table, &[]);
        draft.places.stand(named.id, &table);
        let meta = meta::read(&table, named.name);
        let material = match table.get("ca") {
            Some(ca) => authorities(&table, ca, directory).map(|ca| Material::Authorities(Arc::new(ca))),
            None => server(&table, directory).map(|server| Material::Server(Arc::new(server))),
        };
        let certificate = material.map(|material| (named.id, Arc::new(Certificate { meta, material })));
        draft.objects.certificates.extend(certificate);
    }
}

fn authorities(table: &Table<'_>, ca: Value<'_>, directory: &Path) -> Option<Authorities> {
    let reason = "a CA has \"ca\" alone; leave this out, or \"ca\" if it is a server's";
    table.refuse_each(&["certificate", "key", "ocsp"], reason);
    Named::open(ca, directory).and_then(|pem| pem.refuse(pki::authorities(&pem.bytes)))
}

fn server(table: &Table<'_>, directory: &Path) -> Option<ServerCertificate> {
    if table.get("certificate").is_none() && table.get("key").is_none() {
        table.refuse("has neither \"certificate\" and \"key\", which a server needs, nor \"ca\"");
        return None;
    }
    let certificate = table.require("certificate").and_then(|value| Named::open(value, directory));
    let key = table.require("key").and_then(|value| Named::open(value, directory));
    let chain = certificate.as_ref().and_then(|pem| pem.refuse(pki::certificates(&pem.bytes)));
    let keys = key.as_ref().and_then(|pem| pem.refuse(pki::private_keys(&pem.bytes)));
    let staple = table.get("ocsp").map(|value| Named::open(value, directory));
    let chain = chain?;
    let server = certificate?.refuse(pki::server(&chain, &keys?))?;
    let Some(staple) = staple else { return Some(server) };
    let staple = staple?;
    let response = staple.refuse(pki::staple(&staple.bytes, &chain))?;
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
    fn refuse<T>(&self, found: Result<T, PkiError>) -> Option<T> {
        found.map_err(|error| self.value.refuse(format!("{:?}: {error}", self.path))).ok()
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
