//! What is wrong: with the kernel, a proof, a request, a file, the command line, the POS.

use std::path::PathBuf;

use kiln_base::abi::TablesError;
use kiln_base::model::{Resource, Verb};
use x509_parser::error::{PEMError, X509Error};
use x509_parser::nom;

/// Why this kernel cannot enforce the policy.
#[derive(Debug, thiserror::Error)]
pub enum Lack {
    /// No BTF.
    #[error("it has no type information (CONFIG_DEBUG_INFO_BTF): {0}")]
    Types(#[source] libbpf_rs::Error),
    /// The object cannot be loaded.
    #[error("{step}: {source:#}")]
    Object {
        /// What was tried.
        step: ObjectStep,
        /// libbpf's answer.
        source: libbpf_rs::Error,
    },
    /// The BPF LSM does not decide.
    #[error("`bpf` is not among the active LSMs ({0}); add it to the `lsm=` boot parameter, as `kiln bake` does")]
    Lsm(String),
    /// An older kernel than the tables were compiled for.
    #[error("it is {release}, and the policy was compiled for {needed} and newer")]
    Older {
        /// Of this kernel.
        release: String,
        /// What the tables say.
        needed: String,
    },
    /// Another filter of system calls than the image's drop-in has.
    #[error(
        "it gives {0} another filter of system calls than the image does; systemd sets the filter when it starts the unit, by \
         the drop-in that `kiln bake` wrote: bake the policy into an image"
    )]
    Calls(String),
    /// Labels and names of another image than this one.
    #[error(
        "it was compiled for an image with other labels or another name than this one; compile it with `kiln compile \
         --image` for this image"
    )]
    OtherImage,
    /// The program at flock(2) notes nothing.
    #[error("the kernel programs do not learn what is Kiln's own: its hook of flock(2) does not run")]
    OwnUnknown,
    /// The table has what the agent did not write.
    #[error("the pinned table of labels is damaged; `kiln-agent unload` and load again")]
    Labels,
    /// The key of a subject does not fit into the table.
    #[error("a subject's key has {0} bytes; use fewer guards")]
    LongKey(usize),
    /// All entries of the outer map are taken.
    #[error("no generation is free")]
    NoGeneration,
    /// The build's policy that was tightened is gone.
    #[error("the build's policy is neither in the image nor among the agent's files; the tightened one stays in force")]
    NoBuild,
    /// The active generation is the first.
    #[error("there is no generation to go back to")]
    NothingBefore,
    /// Limits of a unit without a systemd.
    #[error("the limits of {0} need systemd, which does not run here")]
    NoManager(String),
    /// systemd holds a unit to more than the policy.
    #[error(
        "systemd does not hold {unit} to the policy's limit of {resource}: look at `systemctl cat {unit}` for a later file \
         that sets more"
    )]
    NotHeld {
        /// The unit.
        unit: String,
        /// Of what.
        resource: Resource,
    },
    /// The kernel enforces what no record names.
    #[error(
        "generation {index} is enforced, but its record in {} is lost; it stays in force until a reboot or \
         `kiln-agent unload`",
        run.display()
    )]
    LostRecord {
        /// Of the generation.
        index: u32,
        /// Where records are.
        run: PathBuf,
    },
}

/// A step of loading the object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectStep {
    /// Reading the ELF file.
    #[error("cannot open the embedded BPF object")]
    Open,
    /// Taking a map of an earlier load.
    #[error("cannot share {}", .0.display())]
    Share(PathBuf),
    /// How many CPUs there can be.
    #[error("cannot count the CPUs")]
    CountCpus,
    /// One entry for each.
    #[error("cannot size kiln_scratches")]
    SizeScratches,
    /// The verifier; its last lines.
    #[error("the kernel refuses the BPF object; it says\n{0}")]
    Load(String),
}

/// Why a generation is not proven.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// When it was built.
    #[error("generation {0} reads back other than it was written")]
    Altered(u32),
    /// When it was to be proven.
    #[error("the active generation is not the one that was built")]
    NotActive,
    /// The sentinel could do it; none: bpf(2).
    #[error("the sentinel was permitted to {}; is `bpf` an active LSM?", .0.map_or("Bpf".to_owned(), |verb| format!("{verb:?}")))]
    Permitted(Option<Verb>),
    /// The status of waitpid(2).
    #[error("the sentinel was refused by something else (status {0:#x})")]
    Otherwise(i32),
    /// No program reported it.
    #[error("the sentinel was refused, but no event of this generation says so")]
    NoEvent,
}

/// Why what was asked is not done.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Ending enforcement.
    #[error("only root may end enforcement")]
    NotRoot,
    /// Going back from what is confirmed.
    #[error("the policy in force is confirmed; an older one comes back by publishing it with a higher serial")]
    Confirmed,
    /// A tightening while an update may still be undone.
    #[error("an update waits for confirmation; confirm or revert it first")]
    Unconfirmed,
    /// A tightening of another policy than the build's that is in force.
    #[error(
        "it tightens serial {offered}, and serial {active} is the build's policy in force here, or other tables have that serial"
    )]
    OtherBase {
        /// What it tightens.
        offered: u64,
        /// In force.
        active: u64,
    },
    /// A tightening that has ended.
    #[error("it has expired at {0}; sign it anew with a later time")]
    Expired(String),
    /// Confirming what is not in force.
    #[error("serial {active} is in force, not {asked}")]
    NotInForce {
        /// In force.
        active: u64,
        /// To be confirmed.
        asked: u64,
    },
    /// Releasing who is not held.
    #[error("`{0}` is not in quarantine; `kiln-agent status` lists who is")]
    NotQuarantined(String),
    /// The image forbids `kiln-agent audit`.
    #[error("this image forbids audit mode (`operator_audit` in {})", .0.display())]
    AuditForbidden(PathBuf),
    /// A unit that has no profile.
    #[error("`{0}` has no profile that could be in audit mode; `kiln-agent show` lists what is bound")]
    NoProfile(String),
    /// A unit that nothing binds.
    #[error("nothing of the policy binds `{0}`; `kiln-agent show` lists what is bound")]
    Unbound(String),
    /// An event that is not known.
    #[error("{0}; pass the event's JSON line (`kiln.violation.v1`)")]
    NoEvent(String),
    /// A unit in quarantine.
    #[error("`{0}` is in quarantine; `kiln-agent release {0}` first")]
    Quarantined(String),
    /// Guards that no other subject has alone.
    #[error(
        "the policy has no subject of the guards of `{0}` alone ({1}), so that they could not stay enforced; put the profile \
         into audit mode by an update"
    )]
    GuardsTogether(String, String),
    /// One at a time.
    #[error("`{0}` is in audit mode already; `kiln-agent audit {0} --end` first")]
    OtherAudited(String),
    /// Ending what is not there.
    #[error("`{0}` is not in audit mode")]
    NotAudited(String),
    /// Asked from inside a confined unit.
    #[error("process {0} is confined; only root outside of confined units may ask this")]
    Confined(u32),
    /// An assignment whose outer fields say something else.
    #[error("the fields beside the signed assignment differ from it")]
    Beside,
}

/// What is wrong with what the POS gave, or is given.
#[derive(Debug, thiserror::Error)]
pub enum PosFault {
    /// Not an id.
    #[error("the POS gave the instance id `{}`", .0.escape_debug())]
    InstanceId(String),
    /// The key cannot sign.
    #[error("cannot make a certificate request: {0}")]
    Request(#[source] rcgen::Error),
    /// Not PEM.
    #[error("the certificate is not understood: {0}")]
    Pem(#[source] nom::Err<PEMError>),
    /// Not X.509.
    #[error("the certificate is not understood: {0}")]
    Certificate(#[source] nom::Err<X509Error>),
    /// TLS cannot use it.
    #[error("{what} is not understood: {source}")]
    Credential {
        /// Which.
        what: Credential,
        /// Why.
        source: Box<ureq::Error>,
    },
}

/// What the client shows or trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Credential {
    #[error("the POS's CA (pos-ca.pem)")]
    Ca,
    #[error("this instance's certificate")]
    Certificate,
    #[error("this instance's key")]
    Key,
}

/// What is wrong with a tables file.
#[derive(Debug, thiserror::Error)]
pub enum TablesFault {
    /// The file itself.
    #[error(transparent)]
    File(#[from] TablesError),
    /// Another serial than was signed.
    #[error("the tables have serial {tables} and their statement {statement}; compile and sign again")]
    Serial {
        /// In the metadata.
        tables: u64,
        /// What was signed.
        statement: u64,
    },
    /// Another policy than was signed.
    #[error("the tables are of another policy than their statement; compile and sign again")]
    Policy,
    /// Others than the record names.
    #[error("not the tables that were loaded")]
    NotLoaded,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// Than it may be.
    #[error("it is longer than {0} bytes")]
    Longer(u64),
    /// Of procfs.
    #[error("not as proc(5) has it")]
    Proc,
    /// Text is wanted.
    #[error("not UTF-8")]
    NotUtf8,
    /// `generations.json`.
    #[error("not the agent's records: {0}")]
    Records(#[source] serde_json::Error),
    /// `marks.json`.
    #[error("not the agent's marks ({0}); restore it, or remove it to begin anew")]
    Marks(#[source] serde_json::Error),
    /// `good.json`.
    #[error("not the record of a policy: {0}")]
    Good(#[source] serde_json::Error),
    /// What came over the control socket.
    #[error("the agent's answer: {0}")]
    Answer(#[source] serde_json::Error),
    /// `agent.json`.
    #[error(transparent)]
    Settings(#[from] SettingsFault),
    /// The join credential.
    #[error(transparent)]
    Join(#[from] JoinFault),
    /// `instance.key`.
    #[error(transparent)]
    Key(#[from] rcgen::Error),
}

/// What is wrong with `agent.json`.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFault {
    /// A list, a number.
    #[error("not a JSON object")]
    NotAnObject,
    /// Not of this form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Not by TLS.
    #[error("`pos` must begin with https://")]
    Pos,
    /// Out of range.
    #[error("`confirm_seconds` must be between 5 and 86400")]
    ConfirmSeconds,
    /// Out of range.
    #[error("`spool_bytes` must be between 65536 and 1073741824")]
    SpoolBytes,
}

/// What is wrong with a join credential.
#[derive(Debug, thiserror::Error)]
pub enum JoinFault {
    /// Not of this form.
    #[error("not a join credential: {0}")]
    Json(#[from] serde_json::Error),
    /// Of another version.
    #[error("its schema is `{}`, not kiln.join.v1", .0.escape_debug())]
    Schema(String),
    /// Not by TLS.
    #[error("its `pos` must begin with https://")]
    Pos,
    /// Not one of a POS.
    #[error("its token has characters that no token has")]
    Token,
}

/// What is wrong with a command line.
#[derive(Debug, thiserror::Error)]
pub enum Misuse {
    /// An option at the end.
    #[error("{0} needs a value")]
    NoValue(String),
    /// `--format`.
    #[error("--format is text or json")]
    Format,
    /// `--confirm-within`.
    #[error("--confirm-within is 5 to 86400 seconds")]
    ConfirmWithin,
    /// An option that is none.
    #[error("unknown option {0}")]
    Option(String),
    /// A word too many.
    #[error("unexpected argument {0}")]
    Extra(String),
    /// No command.
    #[error("a command is needed")]
    NoCommand,
    /// A command that is none.
    #[error("unknown command {0}")]
    Command(String),
    /// Options of `update` with another.
    #[error("{0} takes no files")]
    NoFiles(String),
    /// `update` without what it needs.
    #[error("update needs --tables and --signature")]
    Update,
    /// `audit` without whom, or for how long.
    #[error("audit needs a unit and --for DURATION (30s, 30m, 8h: at most 24h), or --end")]
    Audit,
    /// `explain` without what.
    #[error("explain needs an event: its JSON line, its number (`seq`), or - for standard input")]
    Explain,
    /// `completions` without which.
    #[error("completions are for bash, zsh or fish")]
    Shell,
    /// `release` without whom.
    #[error("release needs a unit's name or a process's number")]
    Release,
}
