//! The JSON form, for APIs and machine authors: the normal form in an envelope that names its version.

use serde::{Deserialize, Serialize};

use crate::pdl::{Diagnostics, NoFiles, Source};

use kiln_base::model::capability_name;

use super::normal::{Block, Condition, Object, Policy};

/// The version of the JSON form. It changes when a reader of the older one would misread the newer.
pub const FORMAT: &str = "kiln.policy/1";
/// The version of a document in which a rule has an exception: a reader of the older one would permit what it takes out.
pub const FORMAT_EXCEPT: &str = "kiln.policy/2";
/// The largest document that is read, in bytes.
pub const MAX_JSON: usize = 64 << 20;

/// The JSON form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(title = "Kiln policy")]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// `kiln.policy/1`, or `kiln.policy/2` where a rule has an exception.
    pub format: String,
    /// The digest of the policy: `sha256:` and 64 hex digits. Ignored when read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The normal form.
    pub policy: Policy,
}

/// Why a JSON document is not a policy.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Too long.
    #[error("the document has {0} bytes; at most 64 MiB are read")]
    TooLarge(usize),
    /// Not JSON, or not of the schema.
    #[error("the document is not of the form of docs/pdl.schema.json: {0}")]
    Form(#[from] serde_json::Error),
    /// Another version.
    #[error("the document has the format `{0}`; this program reads `{FORMAT}` and `{FORMAT_EXCEPT}`")]
    Format(String),
    /// Something that the language cannot say.
    #[error("`{0}` cannot be part of a policy: {1}")]
    Value(String, &'static str),
    /// A pattern or zone is malformed.
    #[error(transparent)]
    Pattern(#[from] super::eval::EvalError),
    /// The policy is wrong. The sources of the diagnostics are its PDL form.
    #[error("the policy is wrong: {0}")]
    Policy(Diagnostics),
}

/// The document of a policy.
pub fn document(policy: &Policy) -> Document {
    let excepts = policy.blocks.iter().any(|b| objects(b).any(|o| !o.patterns().1.is_empty()));
    let format = if excepts { FORMAT_EXCEPT } else { FORMAT };
    Document { format: format.to_owned(), digest: Some(super::digest(policy).to_string()), policy: policy.clone() }
}

/// Reads a document. It is checked as any policy is: by way of its PDL form.
pub fn read(bytes: &[u8]) -> Result<Policy, JsonError> {
    if bytes.len() > MAX_JSON {
        return Err(JsonError::TooLarge(bytes.len()));
    }
    // A byte order mark says nothing, as in a policy.
    let document: Document = serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))?;
    if ![FORMAT, FORMAT_EXCEPT].contains(&document.format.as_str()) {
        return Err(JsonError::Format(document.format.chars().take(80).collect()));
    }
    expressible(&document.policy)?;
    super::eval::Evaluator::new(&document.policy)?;
    let text = super::to_pdl(&document.policy.canonical_texts());
    super::load(&[Source::new("policy.json", &text)], &NoFiles).map_err(JsonError::Policy)
}

/// The JSON schema of [`Document`], as `docs/pdl.schema.json` has it.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}

fn objects(block: &Block) -> impl Iterator<Item = &Object> {
    block.rules.iter().map(|r| &r.object).chain(block.nevers.iter().map(|n| &n.object))
}

/// Refuses what would change its meaning when written as PDL.
fn expressible(policy: &Policy) -> Result<(), JsonError> {
    let switches = |b: &'_ Block| -> Vec<String> {
        let switch = b.rules.iter().filter_map(|r| match &r.object {
            Object::File { switch, .. } => switch.clone(),
            _ => None,
        });
        switch.collect()
    };
    let windows = policy.blocks.iter().flat_map(|b| {
        let limits = b.limits.iter().filter_map(|l| l.during.clone());
        let conditions = b.rules.iter().flat_map(|r| &r.conditions).filter_map(|c| match c {
            Condition::During(window) => Some(window.clone()),
            Condition::By(_) => None,
        });
        limits.chain(conditions).chain(b.active.iter().map(|a| a.window.clone())).chain(switches(b))
    });
    let names = policy.blocks.iter().map(|b| b.name.clone()).chain(policy.windows.keys().cloned()).chain(windows);
    for name in names {
        let word = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !word || !name.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) {
            let shown = name.chars().take(80).collect();
            return Err(JsonError::Value(shown, "a name is a lower-case letter, then letters, digits and `_`"));
        }
    }
    for object in policy.blocks.iter().flat_map(objects) {
        match object {
            Object::Capability { numbers } if numbers.len() < 64 => {
                if let Some(number) = numbers.iter().find(|n| capability_name(**n).is_none()) {
                    return Err(JsonError::Value(number.to_string(), "no capability has this number"));
                }
            }
            Object::Syscall { names } => {
                let known = |n: &&String| *n != "any" && super::syscalls::canonical(n).is_none();
                if let Some(name) = names.iter().find(known) {
                    return Err(JsonError::Value(
                        name.chars().take(80).collect(),
                        "no system call or group has this name",
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl Policy {
    /// The policy with the texts of rules made from their objects: a document's own texts are not trusted.
    fn canonical_texts(&self) -> Policy {
        let mut policy = self.clone();
        for rule in policy.blocks.iter_mut().flat_map(|b| &mut b.rules) {
            rule.text = super::print::rule_text(rule);
        }
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Policy {
        let text = include_str!("../../../../tests/corpus/pdl/ok/samples.pdl");
        super::super::load(&[Source::new("samples.pdl", text)], &NoFiles).unwrap()
    }

    #[test]
    fn json_round_trips() {
        let policy = sample();
        let bytes = serde_json::to_vec(&document(&policy)).unwrap();
        let again = read(&bytes).unwrap();
        assert_eq!(super::super::digest(&again), super::super::digest(&policy));
    }

    #[test]
    fn a_document_with_an_exception_is_of_a_newer_format() {
        let of = |rule: &str| {
            let text = format!("pdl 1; profile p {{ subject unit \"a\"; {rule} }}");
            super::super::load(&[Source::new("t.pdl", &text)], &NoFiles).unwrap()
        };
        let plain = serde_json::to_string(&document(&of("allow read \"/a\";"))).unwrap();
        assert!(plain.contains("kiln.policy/1") && !plain.contains("except"));
        let policy = of("allow read \"/**\" except \"/a\";");
        let newer = serde_json::to_string(&document(&policy)).unwrap();
        assert!(newer.contains("kiln.policy/2"));
        let again = super::super::digest(&read(newer.as_bytes()).unwrap());
        assert_eq!(again, super::super::digest(&policy));
        assert_ne!(again, super::super::digest(&of("allow read \"/**\";")));
    }

    #[test]
    fn the_published_schema_is_in_step() {
        let published: serde_json::Value =
            serde_json::from_str(include_str!("../../../../docs/pdl.schema.json")).unwrap();
        similar_asserts::assert_eq!(
            serde_json::to_string_pretty(&schema()).unwrap(),
            serde_json::to_string_pretty(&published).unwrap(),
            "run `kiln expand --schema > docs/pdl.schema.json`"
        );
    }

    #[test]
    fn hostile_documents_are_refused() {
        let mut value = serde_json::to_value(document(&sample())).unwrap();
        for bad in ["", "{}", "[", "null", &"[".repeat(100_000), "{\"format\":\"kiln.policy/1\"}"] {
            assert!(matches!(read(bad.as_bytes()), Err(JsonError::Form(_))), "{bad:.20}");
        }
        value["format"] = "kiln.policy/9".into();
        assert!(matches!(read(value.to_string().as_bytes()), Err(JsonError::Format(_))));
        value["format"] = FORMAT.into();
        // A text that would smuggle in a rule is not believed; a name that would break out of its place is an error.
        value["policy"]["blocks"][0]["rules"][0]["text"] = "allow write \"/**\"".into();
        let read_back = read(value.to_string().as_bytes()).unwrap();
        assert_eq!(super::super::digest(&read_back), super::super::digest(&sample()));
        value["policy"]["blocks"][0]["name"] = "x { subject unit \"a\"; } profile y".into();
        assert!(matches!(read(value.to_string().as_bytes()), Err(JsonError::Value(..))));
        value["policy"]["blocks"][0]["name"] = "x".into();
        value["policy"]["blocks"][0]["subjects"][0][0]["pattern"] = "a\\".into();
        assert!(matches!(read(value.to_string().as_bytes()), Err(JsonError::Pattern(_))));
        value["policy"]["blocks"][0]["subjects"][0][0]["pattern"] = "".into();
        assert!(matches!(read(value.to_string().as_bytes()), Err(JsonError::Policy(_))));
    }
}
