//! Which keys of a Falco line the profile reads.

use crate::engine::json::{Hit, NO_HIT, Schema, Token};

macro_rules! slots {
    ($($name:ident)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, clippy::enum_variant_names)]
        #[derive(Clone, Copy)]
        #[repr(u8)]
        pub(super) enum S { $($name),*, COUNT }
    };
}

slots! {
    // within output_fields
    EVT_TYPE EVENT_TYPE HOST_NAME K8S_NODE PROC_PID PROCESS_PID EVT_PID PROC_NAME PROCESS_NAME ARG_PROCNAME PROC_PNAME
    PROCESS_PARENT PROC_ANAME1 PROC_CMDLINE PROCESS_COMMAND_LINE ARG_CMDLINE FD_NAME PROC_EXEPATH ARG_FILENAME ARG_PATH
    FD_SIP ARG_SIP FD_SPORT ARG_SPORT FD_DIP ARG_DIP FD_DPORT ARG_DPORT SCBE_SIGNER PROC_SIGNED FILE_TRUSTED FILE_SHA
    PROC_SHA SCBE_SHA SCBE_GEOMETRY CONTAINER_ID CONTAINER_IMAGE_ID CONTAINER_NAME K8S_POD K8S_NS
    // of the line itself
    T_FIELDS T_EVT_TYPE T_HOSTNAME T_PID T_PROCESS_NAME T_PARENT T_COMMAND_LINE T_TARGET T_SIGNER T_SHA T_GEOMETRY T_RULE
    T_PRIORITY T_OUTPUT
}

/// How many slots there are.
pub(super) const SLOTS: usize = S::COUNT as usize;

/// A Falco line: node 0 is the line, node 1 its `output_fields`.
pub(super) struct Falco;

const fn slot(slot: S) -> Hit {
    Hit { slot: slot as u8, node: 255 }
}

impl Schema for Falco {
    #[inline]
    fn key(&self, node: u8, key: &[u8]) -> Hit {
        if node == 1 { field(key) } else { top(key) }
    }

    fn clear(&self, _: u8, slots: &mut [Token]) {
        if slots.get(S::T_FIELDS as usize).is_some_and(Token::is_present) {
            slots.iter_mut().take(S::T_FIELDS as usize).for_each(|slot| *slot = Token::default());
        }
    }
}

#[inline]
fn top(key: &[u8]) -> Hit {
    match key {
        b"output_fields" => Hit { slot: S::T_FIELDS as u8, node: 1 },
        b"evt_type" => slot(S::T_EVT_TYPE),
        b"hostname" => slot(S::T_HOSTNAME),
        b"pid" => slot(S::T_PID),
        b"process_name" => slot(S::T_PROCESS_NAME),
        b"parent_process" => slot(S::T_PARENT),
        b"command_line" => slot(S::T_COMMAND_LINE),
        b"target" => slot(S::T_TARGET),
        b"signer_trusted" => slot(S::T_SIGNER),
        b"hash_sha256" => slot(S::T_SHA),
        b"geometry_norm" => slot(S::T_GEOMETRY),
        b"rule" => slot(S::T_RULE),
        b"priority" => slot(S::T_PRIORITY),
        b"output" => slot(S::T_OUTPUT),
        _ => NO_HIT,
    }
}

#[inline]
fn field(key: &[u8]) -> Hit {
    let hit = match key {
        b"evt.type" => S::EVT_TYPE,
        b"event.type" => S::EVENT_TYPE,
        b"host.name" => S::HOST_NAME,
        b"k8s.node.name" => S::K8S_NODE,
        b"proc.pid" => S::PROC_PID,
        b"process.pid" => S::PROCESS_PID,
        b"evt.pid" => S::EVT_PID,
        b"proc.name" => S::PROC_NAME,
        b"process.name" => S::PROCESS_NAME,
        b"evt.arg.procname" => S::ARG_PROCNAME,
        b"proc.pname" => S::PROC_PNAME,
        b"process.parent.name" => S::PROCESS_PARENT,
        b"proc.aname[1]" => S::PROC_ANAME1,
        b"proc.cmdline" => S::PROC_CMDLINE,
        b"process.command_line" => S::PROCESS_COMMAND_LINE,
        b"evt.arg.cmdline" => S::ARG_CMDLINE,
        b"fd.name" => S::FD_NAME,
        b"proc.exepath" => S::PROC_EXEPATH,
        b"evt.arg.filename" => S::ARG_FILENAME,
        b"evt.arg.path" => S::ARG_PATH,
        b"fd.sip" => S::FD_SIP,
        b"evt.arg.sip" => S::ARG_SIP,
        b"fd.sport" => S::FD_SPORT,
        b"evt.arg.sport" => S::ARG_SPORT,
        b"fd.dip" => S::FD_DIP,
        b"evt.arg.dip" => S::ARG_DIP,
        b"fd.dport" => S::FD_DPORT,
        b"evt.arg.dport" => S::ARG_DPORT,
        b"scbe.signer_trusted" => S::SCBE_SIGNER,
        b"proc.is_signed" => S::PROC_SIGNED,
        b"file.trusted" => S::FILE_TRUSTED,
        b"file.sha256" => S::FILE_SHA,
        b"proc.hash.sha256" => S::PROC_SHA,
        b"scbe.sha256" => S::SCBE_SHA,
        b"scbe.geometry_norm" => S::SCBE_GEOMETRY,
        b"container.id" => S::CONTAINER_ID,
        b"container.image.id" => S::CONTAINER_IMAGE_ID,
        b"container.name" => S::CONTAINER_NAME,
        b"k8s.pod.name" => S::K8S_POD,
        b"k8s.ns.name" => S::K8S_NS,
        _ => return NO_HIT,
    };
    slot(hit)
}
