//! Why a file, or what it holds, cannot be used.

use openssl::error::ErrorStack;
use thiserror::Error;

/// What is wrong and what would be right; one line when shown, with nothing of a key in it but its kind.
#[derive(Debug, Error)]
pub enum PkiError {
    /// Not text.
    #[error(
        "binary, so DER or PKCS#12 and not PEM; `openssl x509 -inform der` or `openssl pkcs12 -nodes` turn these into \
         PEM"
    )]
    Binary,
    /// Nothing but spaces.
    #[error("empty; a PEM file belongs here, which begins with -----BEGIN")]
    Empty,
    /// Text without a block.
    #[error("not PEM; a line -----BEGIN … belongs there")]
    NotPem,
    /// A block does not end.
    #[error("the {label} that begins on line {line} has no END line; copy the file again")]
    NoEnd {
        /// What the block is.
        label: String,
        /// The line of its BEGIN, from 1.
        line: usize,
    },
    /// A block does not begin.
    #[error("the END line {line} has no BEGIN line; copy the file again")]
    NoBegin {
        /// The line, from 1.
        line: usize,
    },
    /// A certificate cannot be read.
    #[error("the certificate on line {line} is damaged; copy it again as it was issued")]
    DamagedCertificate {
        /// The line of its BEGIN, from 1.
        line: usize,
    },
    /// Certificates in another form.
    #[error("PKCS#7 on line {line}; `openssl pkcs7 -print_certs` turns it into PEM")]
    Pkcs7 {
        /// The line of its BEGIN, from 1.
        line: usize,
    },
    /// Something else where certificates belong.
    #[error("a {label} on line {line}; use a CERTIFICATE")]
    NotACertificate {
        /// What it is.
        label: String,
        /// The line of its BEGIN, from 1.
        line: usize,
    },
    /// A file of certificates without one.
    #[error("has no certificate; a block that begins with -----BEGIN CERTIFICATE----- belongs there")]
    NoCertificate,
    /// Something else where keys belong.
    #[error("a {label} on line {line}; use a PRIVATE KEY (PKCS#8), RSA PRIVATE KEY or EC PRIVATE KEY")]
    NotAKey {
        /// What it is.
        label: String,
        /// The line of its BEGIN, from 1.
        line: usize,
    },
    /// A file of keys without one.
    #[error("has no private key; name the file that the key of the certificate is in")]
    NoKey,
    /// A key cannot be read.
    #[error("the {label} on line {line} is damaged or of an unknown kind; copy it again")]
    DamagedKey {
        /// What the block is.
        label: String,
        /// The line of its BEGIN, from 1.
        line: usize,
    },
    /// A key that needs a passphrase.
    #[error(
        "the private key on line {line} is encrypted, and nobody is there to be asked for the passphrase; store it \
         without one: `openssl pkey -in ENCRYPTED -out KEY`"
    )]
    EncryptedKey {
        /// The line of its BEGIN, from 1.
        line: usize,
    },
    /// The key is another certificate's.
    #[error("the private key does not belong to {subject}; name the key that this certificate was made for")]
    OtherKey {
        /// Whose certificate it is.
        subject: String,
    },
    /// All of the chain is there, in another order.
    #[error(
        "the chain is in the wrong order; put the server's own certificate first and each issuer after what it \
         issued: {right}"
    )]
    WrongOrder {
        /// The right one.
        right: String,
    },
    /// A certificate is in the chain and issued nothing in it.
    #[error(
        "{stranger} did not issue anything in the chain of {subject}; leave it out, or put what is missing before it"
    )]
    Stranger {
        /// Whose certificate that is.
        stranger: String,
        /// Whose the first one is.
        subject: String,
    },
    /// The chain has a certificate twice.
    #[error("has a certificate twice; leave one of the two out")]
    Twice,
    /// Its time is over.
    #[error("{subject} expired on {end}; use a renewed one")]
    Expired {
        /// Whose certificate it is.
        subject: String,
        /// When, as OpenSSL prints it.
        end: String,
    },
    /// Its time has not come.
    #[error("{subject} is not valid before {begin}; use one that is, or set this host's clock right")]
    Early {
        /// Whose certificate it is.
        subject: String,
        /// When, as OpenSSL prints it.
        begin: String,
    },
    /// A CA's key, which has no use here.
    #[error("has a private key on line {line}; keep a CA's key elsewhere, here its certificate is enough")]
    KeyOfAuthority {
        /// The line of its BEGIN, from 1.
        line: usize,
    },
    /// A certificate that can issue none.
    #[error("{subject} is not a CA's certificate, so it can issue none; use that of the CA that issued it")]
    NoAuthority {
        /// Whose certificate it is.
        subject: String,
    },
    /// Authorities of which none is a root.
    #[error("has no root, which is a CA's certificate that it issued itself; add it to the file")]
    NoRoot,
    /// A key or a signature in the chain is too weak.
    #[error(
        "{reason}; use a key of 2048 bits or more (RSA) and SHA-256 signatures, or a policy that takes others, such as \
         tls_policy = \"tls-1-0-with-1-3\""
    )]
    Weak {
        /// OpenSSL's words.
        reason: String,
    },
    /// No OCSP response.
    #[error("not an OCSP response in DER, as `openssl ocsp -respout FILE` writes it")]
    NoResponse,
    /// A response that says nothing.
    #[error("the issuer's server says that it has no answer; fetch it again")]
    NoAnswer,
    /// The chain is too short to verify a response with.
    #[error(
        "cannot be compared with a certificate without its issuer's; put that into the certificate's file, too"
    )]
    NoIssuer,
    /// Somebody else's response.
    #[error("is not signed by the issuer of {subject}")]
    OtherSigner {
        /// Whose certificate it is.
        subject: String,
    },
    /// A response about other certificates.
    #[error("is not about {subject}; fetch the one for this certificate")]
    OtherSubject {
        /// Whose certificate it is.
        subject: String,
    },
    /// The certificate is not good any more.
    #[error("{subject} is revoked; use another certificate")]
    Revoked {
        /// Whose certificate it is.
        subject: String,
    },
    /// The issuer knows nothing of it.
    #[error("the issuer does not know {subject}; ask it why")]
    Unknown {
        /// Whose certificate it is.
        subject: String,
    },
    /// The response's time has not come.
    #[error("is not valid before {begin}; set this host's clock right")]
    EarlyResponse {
        /// When, as OpenSSL prints it.
        begin: String,
    },
    /// A time in a response is none.
    #[error("{text:?} is no time")]
    NoTime {
        /// As OpenSSL prints it.
        text: String,
    },
    /// OpenSSL refuses something else; none is known.
    #[error(transparent)]
    OpenSsl(#[from] ErrorStack),
}
