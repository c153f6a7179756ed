//! Certificates, in the style of the OTC guide: bodies have no wrapping.

use model::{object::Material, value::DnsName};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Resource, new_head};
use crate::api::{
    draft::Draft,
    error::{Fault, invalid},
    fields::{Fields, Given, missing},
    kinds::{
        certificate::{Certificate, CertificateKind, Secret},
        listener::{Listener, Protocol},
    },
    material,
    view::View,
};

/// The most bytes of a chain, and of a key.
const PEM: usize = 1 << 18;

impl Certificate {
    /// Looks whether the domain is one that the certificate is for, as clients of TLS do.
    fn has_domain(&self, material: &Material) -> Result<(), Fault> {
        let (Some(domain), Material::Server(server)) = (&self.domain, material) else { return Ok(()) };
        let below = domain.split_once('.').map(|(_, above)| format!("*.{above}"));
        if server.domains.contains(domain) || below.is_some_and(|below| server.domains.contains(&below)) {
            return Ok(());
        }
        let known: Vec<&str> = server.domains.iter().map(String::as_str).collect();
        Err(Fault::value("domain", domain, format!("The certificate is for {}.", known.join(", "))))
    }

    fn is_a_servers(&self, attribute: &str) -> Result<(), Fault> {
        match self.kind {
            CertificateKind::Server => Ok(()),
            CertificateKind::Client => Err(Fault::invalid(format!(
                "Invalid input for field/attribute {attribute}. Only a server's certificate has it."
            ))),
        }
    }
}

impl Resource for Certificate {
    const MANY: &'static str = "certificates";
    const TRACES: [&'static str; 3] = ["create certificate", "update certificate", "delete certificate"];
    const ONLY_AT_CREATION: &'static [&'static str] = &["type"];
    const IS_WRAPPED: bool = false;
    const HAS_SWITCH: bool = false;

    fn create(draft: &mut Draft<'_>, _parent: Option<Uuid>, mut fields: Fields) -> Result<Uuid, Fault> {
        let head = new_head::<Self>(&mut fields, draft)?;
        let kind = match fields.word("type", &CertificateKind::NAMES)?.value() {
            Some(word) if word == CertificateKind::Client.name() => CertificateKind::Client,
            _ => CertificateKind::Server,
        };
        let mut made = Self { head, kind, ..Self::default() };
        made.settings(draft, &mut fields)?;
        if made.pem.is_empty() {
            return Err(missing("certificate"));
        }
        fields.end()?;
        draft.create(made)
    }

    fn settings(&mut self, _draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault> {
        let pem = fields.secret("certificate", PEM)?;
        let key = fields.secret("private_key", PEM)?;
        let domain = fields.text("domain", super::MOST)?;
        if [&pem, &key, &domain].iter().all(|given| **given == Given::Absent) {
            return Ok(());
        }
        pem.set_required(&mut self.pem, "certificate")?;
        if self.pem.contains("PRIVATE KEY-----") {
            let place = "give keys as private_key, since certificates are shown";
            return Err(Fault::invalid(format!(
                "Invalid input for field/attribute certificate. It has a private key in it: {place}."
            )));
        }
        match key {
            Given::Absent => {}
            Given::Null if self.kind == CertificateKind::Server => return Err(missing("private_key")),
            Given::Null => {}
            Given::Value(text) => {
                self.is_a_servers("private_key")?;
                self.key = Some(Secret::new(text.into_bytes()));
            }
        }
        match domain {
            Given::Absent => {}
            Given::Null => self.domain = None,
            Given::Value(text) if text.is_empty() => self.domain = None,
            Given::Value(text) => {
                self.is_a_servers("domain")?;
                let name = text.strip_prefix("*.").unwrap_or(&text);
                DnsName::new(name).map_err(invalid("domain"))?;
                self.domain = Some(text.to_ascii_lowercase());
            }
        }
        if self.pem.is_empty() {
            return Err(missing("certificate"));
        }
        if self.kind == CertificateKind::Server && self.key.is_none() {
            return Err(missing("private_key"));
        }
        self.has_domain(&material::material(self)?)?;
        self.expires = material::expires(&self.pem)?;
        Ok(())
    }

    fn delete(&self, draft: &mut Draft<'_>, _cascade: bool) -> Result<(), Fault> {
        let id = self.head.id;
        let users = draft.records.all::<Listener>();
        let users = users.filter(|it| it.protocol == Protocol::TerminatedHttps && it.tls.needs(id));
        let users: Vec<String> = users.map(|it| it.head.id.to_string()).collect();
        if !users.is_empty() {
            let users = users.join(", ");
            return Err(Fault::conflict(format!("Certificate {id} is in use by listener {users}.")));
        }
        draft.remove::<Self>(id);
        Ok(())
    }

    fn sample() -> Self {
        Self::default()
    }

    fn show(&self, _view: &View<'_>) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.into(), value);
        put("type", json!(self.kind.name()));
        put("domain", json!(self.domain));
        put("certificate", json!((!self.pem.is_empty()).then_some(&self.pem)));
        put("expire_time", json!(self.expires));
        put("create_time", json!(self.head.created));
        put("update_time", json!(self.head.updated));
        object
    }

    fn operating_status(&self, _view: &View<'_>) -> &'static str {
        "ONLINE"
    }
}
