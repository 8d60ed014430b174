//! Why a policy is not a subset of another, with the shortest request that shows it.

/// What the policy does otherwise than the build's, in a way that is wider or that nothing shows to be stricter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wider {
    /// A request is decided less strictly.
    #[error("{subject} {loss}: {request}{when}")]
    Request {
        /// Whose.
        subject: String,
        /// What of the build's decision is lost.
        loss: Loss,
        /// Verb and object.
        request: String,
        /// ` on Monday 08:00 UTC`, or nothing.
        when: String,
    },
    /// What is not bound by any block is bound otherwise.
    #[error(
        "what no unit or program selects is the build's alone to decide, and this decides otherwise: {request}{when}"
    )]
    Host {
        /// Verb and object.
        request: String,
        /// As above.
        when: String,
    },
    /// A task comes to another subject than it should.
    #[error("{how} comes to {after}, and by the build's policy to {before}; {rule}")]
    Attach {
        /// The unit, the program, or what else leads there.
        how: String,
        /// By the build's policy.
        before: String,
        /// By this one.
        after: String,
        /// What must hold.
        rule: &'static str,
    },
    /// Two programs that the build's policy lets a profile switch by are the same to this one.
    #[error(
        "{subject}: the build's policy switches at {program}, and this does not tell it from other programs; keep the switch, and \
         `deny` the program"
    )]
    Switch {
        /// Whose.
        subject: String,
        /// The program.
        program: String,
    },
    /// A name could be given to a file under this policy that it could not be given under the build's.
    #[error(
        "{subject} may make {name}, and what may be done with it is not what the build's policy says: files could be renamed \
         there that it keeps apart; refuse to create it, too"
    )]
    Name {
        /// Whose.
        subject: String,
        /// The name.
        name: String,
    },
    /// A field of a subject.
    #[error("{subject}: {what} is not as strict as the build's")]
    Subject {
        /// Whose.
        subject: String,
        /// Which.
        what: &'static str,
    },
    /// A limit is greater, absent, or followed by less.
    #[error("{subject}: the limit of {resource} is not as strict as the build's")]
    Limit {
        /// Whose.
        subject: String,
        /// Of what.
        resource: crate::model::Resource,
    },
    /// A unit has no limits any more, or has a name that no unit has.
    #[error("unit {0}: its limits, or its name, are not the build's")]
    Unit(String),
    /// Fewer programs would be attached.
    #[error("{0} of the tables are fewer than the build's")]
    Header(&'static str),
    /// One of the policies has rules that the proof does not follow.
    #[error("no proof follows {0}; have the build make the change")]
    Unfollowed(&'static str),
    /// The comparison would take too long.
    #[error(
        "the policies are too large to be compared ({0}); split the change into smaller ones, or have the build make it"
    )]
    TooMuch(&'static str),
}

/// What of a decision is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// Refused by the build's policy, permitted by this one.
    #[error("may do what the build's policy refuses")]
    Permitted,
    /// Refused by the build's policy, only reported by this one.
    #[error("would only be reported (audit) for what the build's policy refuses")]
    Audited,
    /// Reported as what would be refused.
    #[error("would not be reported for what the build's policy audits")]
    Unaudited,
    /// Watched by the build's policy.
    #[error("would not be reported for what the build's policy watches")]
    Unwatched,
    /// What follows is another response, and the build's is not only an alert.
    #[error("would not meet the response that the build's policy has for it")]
    Response,
    /// The severity is lower.
    #[error("would be reported with a lower severity than by the build's policy")]
    Severity,
}
