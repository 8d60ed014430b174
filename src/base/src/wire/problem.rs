//! Errors on the wire: RFC 9457 problem details with stable codes.

use serde::{Deserialize, Serialize};

/// Body of every answer that is not a success (`application/problem+json`).
///
/// A proxy between can answer with fewer members: those are then empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ProblemBody {
    /// `urn:kiln:pos:CODE`.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub kind: String,
    /// The code in words.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub title: String,
    /// The HTTP status.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub status: u16,
    /// What happened here, and how to mend it.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub detail: String,
    /// Stable; see [`Code`].
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub code: String,
}

macro_rules! codes {
    ($($variant:ident $status:literal $code:literal $title:literal;)*) => {
        /// Every code that the POS answers, with its HTTP status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Code { $(#[doc = $title] $variant,)* }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];
            /// The stable text.
            pub const fn text(self) -> &'static str { match self { $(Code::$variant => $code),* } }
            /// The HTTP status.
            pub const fn status(self) -> u16 { match self { $(Code::$variant => $status),* } }
            /// In words.
            pub const fn title(self) -> &'static str { match self { $(Code::$variant => $title),* } }
        }
    };
}

codes! {
    BadJson 400 "bad-json" "The body is not the JSON that is expected";
    BadRequest 400 "bad-request" "The request is malformed";
    NoCertificate 401 "no-certificate" "A client certificate of this POS is required";
    TokenUnknown 401 "token-unknown" "No such join token";
    WrongRole 403 "wrong-role" "This certificate may not do that";
    Revoked 403 "revoked" "The instance is revoked";
    NotFound 404 "not-found" "No such thing";
    UnknownAssignment 404 "unknown-assignment" "The instance never had that assignment";
    BadMethod 405 "bad-method" "The path does not take that method";
    TooSlow 408 "too-slow" "The body did not arrive in time";
    TokenUsed 409 "token-used" "The join token was used by another key";
    ImageDiffers 409 "image-differs" "The image is registered with other content";
    SerialReused 409 "serial-reused" "That name and serial exist with other tables";
    SerialNotNewer 409 "serial-not-newer" "The serial is not newer";
    TokenExpired 410 "token-expired" "The join token has expired";
    BodyTooLarge 413 "body-too-large" "The body is too large";
    BadMediaType 415 "bad-media-type" "The body has the wrong media type";
    BadCsr 422 "bad-csr" "The certificate request cannot be used";
    BadKey 422 "bad-key" "A policy key cannot be used";
    BadStatement 422 "bad-statement" "The envelope holds no policy statement";
    BadSignature 422 "bad-signature" "No policy key of the image signed this";
    BadTables 422 "bad-tables" "The tables file cannot be used";
    DigestMismatch 422 "digest-mismatch" "The content has another digest";
    NoTables 422 "no-tables" "The tables were not uploaded";
    WrongName 422 "wrong-name" "The image has another policy";
    OutOfRange 422 "out-of-range" "A value is out of range";
    TooMany 422 "too-many" "Too many items in one request";
    NoEvidence 422 "no-evidence" "An acknowledgement without evidence is none";
    EvidenceTables 422 "evidence-tables" "The evidence is for other tables than assigned";
    EvidenceReadback 422 "evidence-readback" "What was read back is not what was assigned";
    EvidencePrograms 422 "evidence-programs" "The evidence shows no attached programs";
    EvidenceSentinel 422 "evidence-sentinel" "The evidence shows no denial that happened";
    SlowDown 429 "slow-down" "Too many attempts";
    Internal 500 "internal" "The service failed";
    ShuttingDown 503 "shutting-down" "The service is shutting down";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_in_the_protocol_page() {
        let page = include_str!("../../../../docs/pos-protocol.md");
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.text()), "{} twice", code.text());
            assert!(page.contains(&format!("`{}`", code.text())), "{} is not documented", code.text());
        }
    }
}
