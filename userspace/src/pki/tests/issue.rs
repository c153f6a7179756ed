//! Certificates for tests, issued in the test itself.

use std::{fs, path::Path};

use model::tls::{Authorities, ServerCertificate};
use openssl::{
    asn1::{Asn1Integer, Asn1Time},
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{
        X509, X509Name,
        extension::{BasicConstraints, KeyUsage, SubjectAlternativeName},
    },
};

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// What is asked for.
#[derive(Clone)]
pub(crate) struct Order<'a> {
    /// Its common name.
    pub(crate) name: &'a str,
    /// Its DNS names.
    pub(crate) domains: &'a [&'a str],
    pub(crate) ca: bool,
    /// Days from now on which it begins and ends to be valid.
    pub(crate) days: (i64, i64),
    pub(crate) key: PKey<Private>,
    pub(crate) digest: MessageDigest,
}

impl Default for Order<'_> {
    fn default() -> Self {
        Self {
            name: "a name",
            domains: &[],
            ca: false,
            days: (-1, 30),
            key: ec(),
            digest: MessageDigest::sha256(),
        }
    }
}

pub(crate) fn ec() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub(crate) fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

/// Issues what is asked for, by `issuer` or by itself.
pub(crate) fn issue(order: &Order<'_>, issuer: Option<&Issued>) -> Issued {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", order.name).unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(120, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(issuer.map_or(&name, |issuer| issuer.certificate.subject_name())).unwrap();
    builder.set_not_before(&day(order.days.0)).unwrap();
    builder.set_not_after(&day(order.days.1)).unwrap();
    builder.set_pubkey(&order.key).unwrap();
    let mut constraints = BasicConstraints::new();
    let mut usage = KeyUsage::new();
    if order.ca {
        builder.append_extension(constraints.critical().ca().build().unwrap()).unwrap();
        builder.append_extension(usage.key_cert_sign().build().unwrap()).unwrap();
    } else {
        builder.append_extension(constraints.build().unwrap()).unwrap();
    }
    if !order.domains.is_empty() {
        let mut names = SubjectAlternativeName::new();
        order.domains.iter().for_each(|domain| {
            names.dns(domain);
        });
        let extension = names.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(extension).unwrap();
    }
    builder.sign(issuer.map_or(&order.key, |issuer| &issuer.key), order.digest).unwrap();
    Issued { certificate: builder.build(), key: order.key.clone() }
}

fn day(from_now: i64) -> Asn1Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    Asn1Time::from_unix(now + from_now * 86_400).unwrap()
}

/// A root.
pub(crate) fn root(name: &str) -> Issued {
    issue(&Order { name, ca: true, ..Order::default() }, None)
}

impl Issued {
    /// Issues a server's or client's certificate.
    pub(crate) fn issue(&self, name: &str, domains: &[&str]) -> Issued {
        issue(&Order { name, domains, ..Order::default() }, Some(self))
    }

    /// From `NAME.crt` and `NAME.key`.
    pub(crate) fn read(directory: &Path, name: &str) -> Self {
        let file = |end: &str| fs::read(directory.join(format!("{name}.{end}"))).unwrap();
        let certificate = X509::from_pem(&file("crt")).unwrap();
        Self { certificate, key: PKey::private_key_from_pem(&file("key")).unwrap() }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    pub(crate) fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    /// As the model has it, with this alone in the chain.
    pub(crate) fn server(&self) -> ServerCertificate {
        super::super::server(std::slice::from_ref(&self.certificate), std::slice::from_ref(&self.key))
            .unwrap()
    }

    /// As the model has it.
    pub(crate) fn authorities(&self) -> Authorities {
        super::super::authorities(&self.pem()).unwrap()
    }
}
