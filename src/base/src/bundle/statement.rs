//! What is signed: the policy statement and the assignment.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::dsse::{Envelope, EnvelopeError};
use super::keys::SigningKey;
use super::trust::TrustedKeys;
use crate::model::Digest;

/// DSSE payload type of a [`PolicyStatement`].
pub const POLICY_TYPE: &str = "application/vnd.kiln.policy.v1+json";
/// DSSE payload type of an [`Assignment`].
pub const ASSIGNMENT_TYPE: &str = "application/vnd.kiln.assignment.v1+json";
/// DSSE payload type of a [`Tightening`].
pub const TIGHTENING_TYPE: &str = "application/vnd.kiln.tightening.v1+json";
/// Highest number of a tightening, and highest serial of a policy that can be tightened: both are one number in the kernel.
pub const MOST_TIGHTENINGS: u64 = 1 << 20;
/// As above.
pub const MOST_SERIAL: u64 = u32::MAX as u64;
/// Longest name or instance id, in bytes.
const MAX_NAME: usize = 256;

/// "These tables are that policy, in its version `serial`", by a policy key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyStatement {
    /// Digest of the policy's canonical PDL text.
    pub policy: Digest,
    /// Digest of the whole tables file.
    pub tables: Digest,
    /// Strictly increasing over the versions of a policy; from 1.
    pub serial: u64,
    /// The policy's name, for people.
    pub name: String,
}

/// "This instance shall enforce those tables", by the POS's online key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The instance's id.
    pub instance: String,
    /// Serial of the policy statement.
    pub serial: u64,
    /// Digest of the tables file.
    pub tables: Digest,
    /// Strictly increasing over the assignments of an instance; from 1.
    pub sequence: u64,
}

/// "Until it expires, these tables may stand in for those of the build's policy, of which they are a subset", by a tighten key.
/// That they are one is for the reader to prove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tightening {
    /// Digest of the tightened policy's canonical PDL text.
    pub policy: Digest,
    /// Digest of the whole tables file.
    pub tables: Digest,
    /// Digest of the tables file of the build's policy.
    pub base: Digest,
    /// Serial of the build's policy.
    pub serial: u64,
    /// Strictly increasing over the tightenings of one serial; from 1.
    pub number: u64,
    /// When it ends, in seconds of the wall clock.
    pub expires: u64,
    /// The policy's name, for people.
    pub name: String,
}

/// A statement that is not signed as it must be, or not about what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The envelope's fault.
    #[error("{what}: {source}")]
    Envelope {
        /// `policy statement` or `assignment`.
        what: &'static str,
        /// Which fault.
        source: EnvelopeError,
    },
    /// Signed, but not understood.
    #[error("{what}: the signed payload is not understood: {reason}")]
    Payload {
        /// `policy statement` or `assignment`.
        what: &'static str,
        /// The parser's words.
        reason: String,
    },
    /// The file is not the one that the statement names.
    #[error("the tables file is {found}, but the {what} names {named}; one of them was replaced, fetch both again")]
    Tables {
        /// `policy statement` or `assignment`.
        what: &'static str,
        /// The digest in the statement.
        named: Digest,
        /// The digest of the file.
        found: Digest,
    },
    /// The assignment is for another version than the policy statement.
    #[error("the assignment is for serial {assigned}, but the policy statement has serial {signed}")]
    Serial {
        /// In the assignment.
        assigned: u64,
        /// In the policy statement.
        signed: u64,
    },
    /// A tightening where only what the build signed will do.
    #[error("this is a tightening, and what the build signed is needed")]
    NotOfBuild,
    /// The assignment is another machine's.
    #[error("the assignment is for instance `{assigned}`, this is `{this}`")]
    Instance {
        /// In the assignment.
        assigned: String,
        /// This machine.
        this: String,
    },
}

impl PolicyStatement {
    const WHAT: &'static str = "policy statement";

    /// Signs the statement.
    pub fn sign(&self, key: &SigningKey) -> Envelope {
        Envelope::sign(POLICY_TYPE, &to_json(self), key)
    }

    /// The statement if a policy key signed it.
    ///
    /// # Errors
    /// Where the signature is not by a policy key, or the payload is malformed.
    pub fn verify(envelope: &Envelope, trusted: &TrustedKeys) -> Result<PolicyStatement, StatementError> {
        let statement: PolicyStatement = open(envelope, POLICY_TYPE, trusted.policy(), Self::WHAT)?;
        check(Self::WHAT, statement.serial, "serial", &statement.name, "name")?;
        Ok(statement)
    }

    /// Whether the tables file is the one that is meant.
    ///
    /// # Errors
    /// [`StatementError::Tables`] if not.
    pub fn covers(&self, tables: &[u8]) -> Result<(), StatementError> {
        covers(Self::WHAT, self.tables, tables)
    }
}

impl Tightening {
    const WHAT: &'static str = "tightening";

    /// Signs the statement.
    pub fn sign(&self, key: &SigningKey) -> Envelope {
        Envelope::sign(TIGHTENING_TYPE, &to_json(self), key)
    }

    /// The statement if a tighten key signed it.
    ///
    /// # Errors
    /// Where the signature is not by a tighten key, or the payload is malformed.
    pub fn verify(envelope: &Envelope, trusted: &TrustedKeys) -> Result<Tightening, StatementError> {
        let statement: Tightening = open(envelope, TIGHTENING_TYPE, trusted.tighten(), Self::WHAT)?;
        check(Self::WHAT, statement.serial, "serial", &statement.name, "name")?;
        check(Self::WHAT, statement.number, "number", &statement.name, "name")?;
        statement.in_range()?;
        Ok(statement)
    }

    /// Whether its numbers are such that one number of the kernel tells them.
    ///
    /// # Errors
    /// Says which is too high.
    pub fn in_range(&self) -> Result<(), StatementError> {
        let bad = |reason| Err(StatementError::Payload { what: Self::WHAT, reason });
        if self.number > MOST_TIGHTENINGS {
            return bad(format!("number is {}, and at most {MOST_TIGHTENINGS}", self.number));
        }
        if self.serial > MOST_SERIAL {
            return bad(format!("serial is {}, and at most {MOST_SERIAL} can be tightened", self.serial));
        }
        if i64::try_from(self.expires).is_err() {
            return bad("expires is no time".to_owned());
        }
        Ok(())
    }

    /// Whether the tables file is the one that is meant.
    ///
    /// # Errors
    /// [`StatementError::Tables`] if not.
    pub fn covers(&self, tables: &[u8]) -> Result<(), StatementError> {
        covers(Self::WHAT, self.tables, tables)
    }
}

impl Assignment {
    const WHAT: &'static str = "assignment";

    /// Signs the assignment.
    pub fn sign(&self, key: &SigningKey) -> Envelope {
        Envelope::sign(ASSIGNMENT_TYPE, &to_json(self), key)
    }

    /// The assignment if an assignment key signed it.
    ///
    /// # Errors
    /// Where the signature is not by an assignment key, or the payload is malformed.
    pub fn verify(envelope: &Envelope, trusted: &TrustedKeys) -> Result<Assignment, StatementError> {
        let assignment: Assignment = open(envelope, ASSIGNMENT_TYPE, trusted.assignment(), Self::WHAT)?;
        check(Self::WHAT, assignment.sequence, "sequence", &assignment.instance, "instance")?;
        Ok(assignment)
    }

    /// Whether this is about that policy statement, on that instance.
    ///
    /// # Errors
    /// Names the first that differs.
    pub fn agrees(&self, statement: &PolicyStatement, instance: &str) -> Result<(), StatementError> {
        if self.instance != instance {
            return Err(StatementError::Instance { assigned: self.instance.clone(), this: instance.to_owned() });
        }
        if self.serial != statement.serial {
            return Err(StatementError::Serial { assigned: self.serial, signed: statement.serial });
        }
        if self.tables != statement.tables {
            return Err(StatementError::Tables { what: Self::WHAT, named: self.tables, found: statement.tables });
        }
        Ok(())
    }
}

fn to_json<T: Serialize>(statement: &T) -> Vec<u8> {
    // Structs of strings and integers always serialise; the field order is that of the struct.
    serde_json::to_vec(statement).unwrap_or_default()
}

fn open<T: DeserializeOwned>(
    envelope: &Envelope,
    payload_type: &str,
    keys: &[super::PublicKey],
    what: &'static str,
) -> Result<T, StatementError> {
    let payload = envelope.verify(payload_type, keys).map_err(|source| StatementError::Envelope { what, source })?;
    serde_json::from_slice(&payload).map_err(|e| StatementError::Payload { what, reason: e.to_string() })
}

fn check(
    what: &'static str,
    number: u64,
    number_name: &str,
    text: &str,
    text_name: &str,
) -> Result<(), StatementError> {
    let bad = |reason| Err(StatementError::Payload { what, reason });
    if number == 0 {
        return bad(format!("{number_name} is 0; it counts from 1"));
    }
    if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return bad(format!("{text_name} must have 1 to {MAX_NAME} bytes and no control characters"));
    }
    Ok(())
}

fn covers(what: &'static str, named: Digest, tables: &[u8]) -> Result<(), StatementError> {
    let found = Digest::of(tables);
    if found == named { Ok(()) } else { Err(StatementError::Tables { what, named, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (SigningKey, SigningKey, TrustedKeys) {
        let (policy, pos) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let trusted = TrustedKeys::new(vec![policy.public()], vec![pos.public()]).unwrap();
        (policy, pos, trusted)
    }

    fn statement() -> PolicyStatement {
        PolicyStatement { policy: Digest::of(b"pdl"), tables: Digest::of(b"tables"), serial: 7, name: "nginx".into() }
    }

    fn assignment() -> Assignment {
        Assignment { instance: "i-1".into(), serial: 7, tables: Digest::of(b"tables"), sequence: 3 }
    }

    #[test]
    fn roles_are_kept_apart() {
        let (policy, pos, trusted) = keys();
        assert_eq!(PolicyStatement::verify(&statement().sign(&policy), &trusted).unwrap(), statement());
        assert_eq!(Assignment::verify(&assignment().sign(&pos), &trusted).unwrap(), assignment());
        // A stolen POS can assign, not invent.
        assert!(PolicyStatement::verify(&statement().sign(&pos), &trusted).is_err());
        assert!(Assignment::verify(&assignment().sign(&policy), &trusted).is_err());
        // One is not taken for the other, even by the right key.
        let as_policy = Envelope::sign(POLICY_TYPE, &to_json(&assignment()), &policy);
        assert!(matches!(PolicyStatement::verify(&as_policy, &trusted), Err(StatementError::Payload { .. })));
    }

    #[test]
    fn a_tightening_is_for_its_own_keys() {
        let (policy, pos, trusted) = keys();
        let tighten = SigningKey::generate().unwrap();
        let (d, t) = (Digest::of(b"pdl"), Digest::of(b"tables"));
        let statement =
            Tightening { policy: d, tables: t, base: d, serial: 7, number: 1, expires: 9, name: "nginx".into() };
        // Without the role nobody may.
        assert!(Tightening::verify(&statement.sign(&tighten), &trusted).is_err());
        let trusted = trusted.tightened_by(vec![tighten.public()]).unwrap();
        assert_eq!(Tightening::verify(&statement.sign(&tighten), &trusted).unwrap(), statement);
        for other in [&policy, &pos] {
            assert!(Tightening::verify(&statement.sign(other), &trusted).is_err());
        }
        let build = PolicyStatement { policy: d, tables: t, serial: 8, name: "nginx".into() };
        assert!(PolicyStatement::verify(&build.sign(&tighten), &trusted).is_err());
        let as_policy = Envelope::sign(POLICY_TYPE, &to_json(&statement), &policy);
        assert!(PolicyStatement::verify(&as_policy, &trusted).is_err());
        let as_tightening = Envelope::sign(TIGHTENING_TYPE, &to_json(&build), &tighten);
        assert!(Tightening::verify(&as_tightening, &trusted).is_err());
        for bad in [
            Tightening { number: 0, ..statement.clone() },
            Tightening { serial: 0, ..statement.clone() },
            Tightening { number: MOST_TIGHTENINGS + 1, ..statement.clone() },
            Tightening { serial: MOST_SERIAL + 1, ..statement.clone() },
            Tightening { expires: u64::MAX, ..statement.clone() },
            Tightening { name: String::new(), ..statement.clone() },
        ] {
            assert!(Tightening::verify(&bad.sign(&tighten), &trusted).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn agreement_is_checked() {
        statement().covers(b"tables").unwrap();
        assert!(matches!(statement().covers(b"table"), Err(StatementError::Tables { .. })));
        assignment().agrees(&statement(), "i-1").unwrap();
        assert!(matches!(assignment().agrees(&statement(), "i-2"), Err(StatementError::Instance { .. })));
        let other = PolicyStatement { serial: 8, ..statement() };
        assert!(matches!(assignment().agrees(&other, "i-1"), Err(StatementError::Serial { .. })));
        let other = PolicyStatement { tables: Digest::of(b"x"), ..statement() };
        assert!(matches!(assignment().agrees(&other, "i-1"), Err(StatementError::Tables { .. })));
    }

    #[test]
    fn signed_nonsense_is_refused() {
        let (policy, _, trusted) = keys();
        let digest = Digest::of(b"x");
        let payloads = [
            "{}".to_owned(),
            format!(r#"{{"policy":"{digest}","tables":"{digest}","serial":0,"name":"n"}}"#),
            format!(r#"{{"policy":"{digest}","tables":"{digest}","serial":-1,"name":"n"}}"#),
            format!(r#"{{"policy":"{digest}","tables":"{digest}","serial":1,"name":""}}"#),
            format!(r#"{{"policy":"{digest}","tables":"{digest}","serial":1,"name":"a\nb"}}"#),
            format!(r#"{{"policy":"{digest}","tables":"{digest}","serial":1,"name":"n","more":1}}"#),
            format!(r#"{{"policy":"{digest}","tables":"sha256:00","serial":1,"name":"n"}}"#),
            format!(r#"{{"policy":"{digest}","tables":"{digest}","serial":1,"name":"{}"}}"#, "n".repeat(257)),
        ];
        for payload in payloads {
            let envelope = Envelope::sign(POLICY_TYPE, payload.as_bytes(), &policy);
            let result = PolicyStatement::verify(&envelope, &trusted);
            assert!(matches!(result, Err(StatementError::Payload { .. })), "{payload}");
        }
    }
}
