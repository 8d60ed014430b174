//! What can stop a bake. Each error says what, where, and how to mend it; after any of them the target is as it was.

use std::io;
use std::path::PathBuf;

/// Why an image was not baked.
#[derive(Debug, thiserror::Error)]
pub enum BakeError {
    /// The target is neither a root file system nor a disk image that can be written.
    #[error("{path}: {what}; {mend}", path = path.display())]
    Target {
        /// The target.
        path: PathBuf,
        /// What it is instead.
        what: String,
        /// What to do.
        mend: &'static str,
    },
    /// A component of a path inside the image is a symbolic link where Kiln writes.
    #[error("/{0} in the image is a symbolic link; Kiln writes only through real directories: replace the link")]
    Symlink(String),
    /// A component of a path inside the image is a mount where Kiln writes.
    #[error(
        "/{0} in the image is a mount, and what is mounted there is not the image's: unmount it, or bake what is mounted"
    )]
    Mount(String),
    /// Another bake has the image.
    #[error("{}: another kiln bake works on it; wait until that one has ended", path.display())]
    Busy {
        /// The image.
        path: PathBuf,
    },
    /// What an interrupted bake left cannot be undone.
    #[error(
        "an interrupted bake cannot be undone: {why}. What it moved aside is in /{stage} of the image: correct the cause \
         and bake again"
    )]
    Recover {
        /// Where the old files are.
        stage: &'static str,
        /// Why not.
        why: Box<BakeError>,
    },
    /// Something else stands where Kiln installs a file, a directory or a link.
    #[error("/{path} in the image is {found}, not {wanted}; remove it from the image and bake again")]
    InTheWay {
        /// Path inside the image.
        path: String,
        /// What stands there.
        found: &'static str,
        /// What would be written.
        wanted: &'static str,
    },
    /// The image holds a unit or a drop-in that would take precedence over Kiln's.
    #[error("/{0} in the image would override Kiln's own unit; remove it")]
    Override(String),
    /// A unit without which the policy is not loaded is masked.
    #[error("/{0} in the image masks what loads the policy, so that nothing would be enforced; remove it")]
    Masked(String),
    /// Reading or writing inside the image failed.
    #[error("/{path} in the image: cannot {doing}: {source}")]
    Image {
        /// Path inside the image.
        path: String,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Reading or writing outside the image failed.
    #[error("{path}: cannot {doing}: {source}", path = path.display())]
    Host {
        /// Path on this machine.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The image's kernel cannot enforce.
    #[error("kernel {release}: {what}; {mend}")]
    Kernel {
        /// Its release, from the name of its configuration.
        release: String,
        /// What it lacks.
        what: String,
        /// What to do.
        mend: &'static str,
    },
    /// No kernel configuration in the image.
    #[error(
        "the image has no kernel configuration (/boot/config-* or /usr/lib/modules/*/config), so it is not known whether \
         its kernel enforces; install a kernel package, name the file with --kernel-config, or pass --no-kernel-check"
    )]
    NoKernel,
    /// The kernel needs a boot parameter and the image has no place for it.
    #[error(
        "the kernel needs the boot parameter `{0}`, and the image has no GRUB, systemd-boot or /etc/kernel/cmdline \
         configuration to add it to; add it where the image is booted and pass --boot-parameter-elsewhere"
    )]
    NoBootLoader(String),
    /// The policy confines units or programs that the image does not have.
    #[error(
        "the policy confines {0}, which the image does not have; correct the policy, or pass --allow-missing-units"
    )]
    MissingUnits(String),
    /// A template runs nothing.
    #[error(
        "{0} is a template and runs nothing itself; name an instance, or write {all} for all of them",
        all = .0.replacen('@', "@*", 1)
    )]
    BareTemplate(String),
    /// systemd's escape within a pattern.
    #[error(
        "the policy's unit \"{selector}\" has `{escape}` where a backslash only quotes what follows it; a unit's name \
         that has a backslash is written with two: `\\{escape}`"
    )]
    UnquotedEscape {
        /// As written in the policy.
        selector: String,
        /// `\x2d`.
        escape: String,
    },
    /// The tables do not do what the selectors beside them say.
    #[error(
        "the tables would not confine {unit}, which their selector \"{selector}\" names: they are not what they say; \
         compile the policy again from its source"
    )]
    Unattached {
        /// The unit.
        unit: String,
        /// The selector.
        selector: String,
    },
    /// The policy names a unit by an alias.
    #[error(
        "{alias} is an alias of {unit} in the image, and the kernel knows only the latter; name {unit} in the policy"
    )]
    Alias {
        /// The name in the policy.
        alias: String,
        /// The unit it stands for.
        unit: String,
    },
    /// The agent binary cannot run in the image.
    #[error("{path}: {what}; {mend}", path = path.display())]
    Agent {
        /// The binary.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        mend: &'static str,
    },
    /// A file that Kiln edits or reads is not what its name says.
    #[error("/{path} in the image: {what}")]
    Content {
        /// Path inside the image.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// A template of Kiln does not render: a mistake in Kiln.
    #[error("template {name}: {source}")]
    Template {
        /// Its name.
        name: String,
        /// Why.
        source: minijinja::Error,
    },
    /// A tool that edits ext4 is missing or failed.
    #[error("{tool}: {what}")]
    Tool {
        /// The program.
        tool: &'static str,
        /// What it said.
        what: String,
    },
    /// The first failure, and then the way back failed too.
    #[error(
        "{first}; and restoring the image failed: {then}. What was moved aside is in {stage} of the image: run the same bake again to restore it"
    )]
    Rollback {
        /// Why the bake stopped.
        first: Box<BakeError>,
        /// Why it could not be undone.
        then: Box<BakeError>,
        /// Where the old files are.
        stage: &'static str,
    },
}

impl BakeError {
    /// For `map_err` on an operation inside the image.
    pub(super) fn image<E: Into<io::Error>>(path: &str, doing: &'static str) -> impl FnOnce(E) -> BakeError {
        move |source| BakeError::Image { path: path.to_owned(), doing, source: source.into() }
    }

    /// For `map_err` on an operation outside the image.
    pub(super) fn host<E: Into<io::Error>>(path: &std::path::Path, doing: &'static str) -> impl FnOnce(E) -> BakeError {
        move |source| BakeError::Host { path: path.to_owned(), doing, source: source.into() }
    }
}
