//! What was asked of the kernel.

use std::path::PathBuf;

/// What was tried.
#[derive(Debug, thiserror::Error)]
pub enum Step {
    /// Something about a program, or its link.
    #[error("cannot {act} {name}")]
    Program {
        /// What.
        act: Act,
        /// Its name.
        name: String,
    },
    /// Pinning a map.
    #[error("cannot pin the map {0}")]
    PinMap(String),
    /// Opening a pinned map.
    #[error("cannot open the pinned map {0}")]
    OpenMap(&'static str),
    /// Looking at what a pinned map holds.
    #[error("cannot look at the pinned map {0}")]
    LookAtMap(&'static str),
    /// Taking a descriptor of a program or map that was loaded.
    #[error("cannot take {0} from the loaded object")]
    Take(String),
    /// Making a folder for pins.
    #[error("cannot make {}", .0.display())]
    Folder(PathBuf),
    /// Listing the programs.
    #[error("cannot list the pinned programs")]
    ListPrograms,
    /// Listing the links.
    #[error("cannot list the pinned links")]
    ListLinks,
    /// Telling which windows are open.
    #[error("cannot tell the kernel programs which windows are open")]
    TellWindows,
    /// Building a generation.
    #[error("cannot {stage} the map of generation {index}")]
    Build {
        /// How far it came.
        stage: Stage,
        /// Its index.
        index: u32,
    },
    /// Reading a generation that is in the kernel.
    #[error("cannot read back generation {0}")]
    ReadBack(u32),
    /// Making the table of labels.
    #[error("cannot make the table of labels")]
    MakeLabels,
    /// Reading it.
    #[error("cannot read the table of labels")]
    ReadLabels,
    /// Writing it.
    #[error("cannot write the table of labels")]
    WriteLabels,
    /// Saying which process the programs protect.
    #[error("cannot register the agent with the kernel programs")]
    RegisterAgent,
    /// Reading who keeps the pins.
    #[error("cannot read the keeper")]
    ReadKeeper,
    /// Saying where a helper is.
    #[error("cannot tell the kernel programs where a helper is")]
    TellHelper,
    /// Saying what is Kiln's own.
    #[error("cannot tell the kernel programs what is Kiln's own")]
    TellOwn,
    /// Saying whose answers teach addresses of names.
    #[error("cannot tell the kernel programs the name servers")]
    TellServers,
    /// Saying what labels are held to.
    #[error("cannot tell the kernel programs a limit")]
    TellLimits,
    /// Telling systemd.
    #[error("cannot tell systemd the limits of {0}")]
    Limit(String),
    /// A command of systemctl(1).
    #[error("cannot have systemd do `{0}`")]
    Manager(String),
    /// Mapping the event buffer.
    #[error("cannot map the event buffer")]
    MapEvents,
    /// Mapping the sentinel's.
    #[error("cannot map the buffer of proofs")]
    MapProofs,
    /// Reading the counters.
    #[error("cannot read the counters")]
    ReadCounters,
    /// Keeping the pins' file system.
    #[error("cannot keep the pins' file system")]
    KeepPins,
    /// Removing the pins.
    #[error("cannot remove the pins")]
    RemovePins,
    /// Removing those of a load that came to no end.
    #[error("cannot remove what an unfinished load left behind")]
    RemoveUnfinished,
    /// Holding a process by a descriptor.
    #[error("cannot hold process {0}")]
    HoldProcess(i32),
    /// Labelling a process.
    #[error("cannot label process {0}")]
    LabelProcess(i32),
    /// Reading a process's label.
    #[error("cannot read a process's label")]
    ReadLabel,
    /// Labelling a cgroup.
    #[error("cannot label {}", .0.display())]
    LabelCgroup(PathBuf),
    /// Reading cgroups' labels.
    #[error("cannot read cgroup labels")]
    ReadCgroupLabels,
    /// Reading who is in quarantine.
    #[error("cannot read who is in quarantine")]
    ReadQuarantine,
    /// Letting somebody out of it.
    #[error("cannot end the quarantine")]
    WriteQuarantine,
    /// Putting a unit into audit mode.
    #[error("cannot tell the unit in audit mode")]
    TellAudit,
    /// Reading who is throttled.
    #[error("cannot read who is throttled")]
    ReadThrottle,
    /// Throttling somebody, or ending it.
    #[error("cannot begin or end a throttle")]
    WriteThrottle,
    /// Making the sentinel.
    #[error("cannot make the sentinel process")]
    MakeSentinel,
    /// Labelling it.
    #[error("cannot label the sentinel process")]
    LabelSentinel,
    /// Waiting for events.
    #[error("cannot wait for events")]
    WaitForEvents,
    /// Waiting for signals.
    #[error("cannot wait for signals")]
    WaitForSignals,
    /// Starting a thread.
    #[error("cannot start a thread")]
    Thread,
    /// Making a descriptor to wake a thread by.
    #[error("cannot make an eventfd")]
    Eventfd,
}

/// What is done to a program or its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Act {
    #[error("pin the program")]
    Pin,
    #[error("open the program")]
    Open,
    #[error("run the program")]
    Run,
    #[error("attach")]
    Attach,
    #[error("detach")]
    Detach,
    #[error("exchange the program")]
    Exchange,
    #[error("remove the program")]
    Remove,
    #[error("look at the program of")]
    LookAt,
    #[error("pin the link of")]
    PinLink,
    #[error("open the link of")]
    OpenLink,
    #[error("exchange the link of")]
    ExchangeLink,
}

/// The stages of building a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Stage {
    #[error("lay out")]
    LayOut,
    #[error("make")]
    Make,
    #[error("fill")]
    Fill,
    #[error("freeze")]
    Freeze,
    #[error("read back")]
    ReadBack,
    #[error("install")]
    Install,
}
