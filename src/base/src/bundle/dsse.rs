//! DSSE envelopes (Dead Simple Signing Envelope, protocol 1.0 of secure-systems-lab/dsse).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use super::keys::{PublicKey, SigningKey};

/// Longest envelope that is read, in bytes.
pub const MAX_ENVELOPE: usize = 1 << 20;
/// Most signatures that are tried: verification costs time, and an envelope is not yet trusted.
const MAX_SIGNATURES: usize = 16;

/// A payload with signatures over it and its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The payload, Base64.
    payload: String,
    /// Its media type.
    #[serde(rename = "payloadType")]
    payload_type: String,
    /// At least one.
    signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeSignature {
    /// A hint which key made it; see [`PublicKey::key_id`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub keyid: String,
    /// The signature, Base64.
    pub sig: String,
}

/// An envelope that is malformed or not signed by whom it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Longer than [`MAX_ENVELOPE`].
    #[error("the signature file has {0} bytes; at most {MAX_ENVELOPE} are read")]
    TooLong(usize),
    /// Not the JSON of an envelope.
    #[error("the signature file is not a DSSE envelope: {0}")]
    Json(String),
    /// The payload or a signature is not Base64.
    #[error("the envelope's {0} is not Base64")]
    Base64(&'static str),
    /// Too many signatures, or none.
    #[error("the envelope has {0} signatures; between 1 and {MAX_SIGNATURES} are needed")]
    Signatures(usize),
    /// Signed, but as something else.
    #[error("the envelope holds `{found}`, not `{wanted}`")]
    Type {
        /// What was asked for.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// No signature verifies under a trusted key.
    #[error("no signature is by a trusted key: signed by {signed_by}, trusted are {trusted}")]
    Untrusted {
        /// Key ids that the envelope names.
        signed_by: String,
        /// Key ids that were accepted.
        trusted: String,
    },
}

/// The bytes that are signed: `DSSEv1 SP LEN(type) SP type SP LEN(body) SP body` ("pre-authentication encoding").
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

impl Envelope {
    /// Signs a payload.
    pub fn sign(payload_type: &str, payload: &[u8], key: &SigningKey) -> Envelope {
        let signature = EnvelopeSignature {
            keyid: key.public().key_id(),
            sig: STANDARD.encode(key.sign(&pae(payload_type, payload))),
        };
        Envelope {
            payload: STANDARD.encode(payload),
            payload_type: payload_type.to_owned(),
            signatures: vec![signature],
        }
    }

    /// Parses the JSON form; nothing is verified yet.
    ///
    /// # Errors
    /// Where the bytes are too long or are not an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(EnvelopeError::TooLong(bytes.len()));
        }
        serde_json::from_slice(bytes).map_err(|e| EnvelopeError::Json(e.to_string()))
    }

    /// What it says that it holds; not signed for before [`Envelope::verify`].
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The JSON form, with a line end.
    pub fn to_json(&self) -> String {
        // A struct of strings always serialises.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The payload if one of the keys signed it as this type.
    ///
    /// # Errors
    /// Where the envelope is malformed, of another type, or signed by none of the keys.
    pub fn verify(&self, payload_type: &str, keys: &[PublicKey]) -> Result<Vec<u8>, EnvelopeError> {
        if self.signatures.is_empty() || self.signatures.len() > MAX_SIGNATURES {
            return Err(EnvelopeError::Signatures(self.signatures.len()));
        }
        if self.payload_type != payload_type {
            let found = self.payload_type.chars().take(128).collect();
            return Err(EnvelopeError::Type { wanted: payload_type.to_owned(), found });
        }
        let payload = decode(&self.payload).ok_or(EnvelopeError::Base64("payload"))?;
        let signed = pae(payload_type, &payload);
        for signature in &self.signatures {
            let bytes = decode(&signature.sig).ok_or(EnvelopeError::Base64("signature"))?;
            if keys.iter().any(|key| key.verifies(&signed, &bytes)) {
                return Ok(payload);
            }
        }
        let list = |ids: Vec<String>| if ids.is_empty() { "nobody".to_owned() } else { ids.join(", ") };
        Err(EnvelopeError::Untrusted {
            signed_by: list(self.signatures.iter().map(|s| s.keyid.chars().take(80).collect()).collect()),
            trusted: list(keys.iter().map(PublicKey::key_id).collect()),
        })
    }
}

/// The specification has verifiers accept both alphabets.
fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPE: &str = "application/vnd.kiln.test+json";

    #[test]
    fn pae_is_that_of_the_specification() {
        // The example of the DSSE protocol document.
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn round_trips_and_refuses_each_change() {
        let key = SigningKey::generate().unwrap();
        let other = SigningKey::generate().unwrap();
        let envelope = Envelope::sign(TYPE, b"payload", &key);
        let keys = [other.public(), key.public()];
        let read = Envelope::parse(envelope.to_json().as_bytes()).unwrap();
        assert_eq!(read.verify(TYPE, &keys).unwrap(), b"payload");
        assert!(matches!(read.verify("text/plain", &keys), Err(EnvelopeError::Type { .. })));
        assert!(matches!(read.verify(TYPE, &keys[..1]), Err(EnvelopeError::Untrusted { .. })));
        assert!(matches!(read.verify(TYPE, &[]), Err(EnvelopeError::Untrusted { .. })));
        let mut changed = read.clone();
        changed.payload = STANDARD.encode("payloae");
        assert!(matches!(changed.verify(TYPE, &keys), Err(EnvelopeError::Untrusted { .. })));
        let mut retyped = read.clone();
        retyped.payload_type = "text/plain".into();
        assert!(matches!(retyped.verify("text/plain", &keys), Err(EnvelopeError::Untrusted { .. })));
        let mut none = read.clone();
        none.signatures.clear();
        assert_eq!(none.verify(TYPE, &keys), Err(EnvelopeError::Signatures(0)));
        let mut many = read.clone();
        many.signatures = vec![read.signatures[0].clone(); 17];
        assert_eq!(many.verify(TYPE, &keys), Err(EnvelopeError::Signatures(17)));
        let mut garbled = read;
        garbled.signatures[0].sig = "!!".into();
        assert_eq!(garbled.verify(TYPE, &keys), Err(EnvelopeError::Base64("signature")));
    }

    #[test]
    fn a_key_id_is_no_proof() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let mut envelope = Envelope::sign(TYPE, b"x", &other);
        envelope.signatures[0].keyid = key.public().key_id();
        assert!(envelope.verify(TYPE, &[key.public()]).is_err());
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let deep = "[".repeat(100_000);
        for bad in [&b""[..], b"{}", b"null", b"\xff\xfe", b"{\"payload\":1}", deep.as_bytes()] {
            assert!(matches!(Envelope::parse(bad), Err(EnvelopeError::Json(_))));
        }
        assert_eq!(Envelope::parse(&vec![b' '; MAX_ENVELOPE + 1]), Err(EnvelopeError::TooLong(MAX_ENVELOPE + 1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_damaged_envelope_verifies_to_other_bytes(at in 0usize..2000, bit in 0u8..8) {
            let key = SigningKey::generate().unwrap();
            let mut bytes = Envelope::sign(TYPE, b"the payload", &key).to_json().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(envelope) = Envelope::parse(&bytes)
                && let Ok(payload) = envelope.verify(TYPE, &[key.public()])
            {
                prop_assert_eq!(payload, b"the payload");
            }
        }
    }
}
