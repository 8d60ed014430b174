//! The keys of all sources, in one schema: their top-level keys do not collide where they mean different things.

use crate::engine::json::{Hit, NO_HIT, Schema, Token};

macro_rules! slots {
    ($($name:ident)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, clippy::enum_variant_names)]
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum S { $($name),*, COUNT }
    };
}

slots! {
    // Falco: output_fields
    EVT_TYPE EVT_TIME HOST_NAME K8S_NODE PROC_PID PROC_START PROC_NAME PROC_EXEPATH PROC_PNAME PROC_ANAME2 PROC_ANAME3
    PROC_ANAME4 PROC_CMDLINE PROC_TTY USER_NAME USER_UID FD_NAME FD_SIP FD_SPORT FD_RIP FD_RPORT FD_CIP ARG_FLAGS ARG_PATH
    ARG_FILENAME ARG_TARGET ARG_OLDPATH ARG_NEWPATH ARG_LINKPATH ARG_NAME PROC_ARGS CONTAINER_ID CONTAINER_NAME CONTAINER_IMAGE POD NS EXE_UPPER EXE_MEMFD
    SIGNER SHA GEOMETRY
    // of the line itself
    FIELDS HOSTNAME RULE PRIORITY OUTPUT TAGS TIME EVT_TYPE_TOP PROCESS_NAME_TOP PARENT_TOP COMMAND_TOP TARGET_TOP PID_TOP
    SIGNER_TOP SHA_TOP GEOMETRY_TOP SOURCE_TOP
    // Kiln
    SCHEMA VERDICT BLOCK_KIND VERB OBJECT MODE SEVERITY ACTION UID_TOP COMM START_TIME SUBJECT CGROUP PROFILE
    // Tetragon
    NODE_NAME BODY INFO BODY_EXEC BODY_EXIT BODY_LOADER BODY_UPROBE BODY_USDT BODY_OTHER
    T_FUNCTION T_ARGS T_ACTION T_POLICY T_TAGS T_SUBSYS T_EVENT T_PATH T_SYMBOL T_PROVIDER T_NAME T_ANCESTORS
    P_EXEC_ID P_PID P_UID P_BINARY P_ARGUMENTS P_START P_PARENT_EXEC_ID P_DOCKER P_LINKS P_POD P_NS P_CONTAINER_ID P_CONTAINER_NAME
    P_IMAGE P_USER R_EXEC_ID R_BINARY P_FLAGS
}

/// How many slots there are.
pub const SLOTS: usize = S::COUNT as usize;

/// All sources.
pub(super) struct All;

/// Nodes below the line: Falco's fields; Tetragon's body, process, parent, pod, container, image, the executable's
/// properties, their file and its inode, the user.
const FIELDS: u8 = 1;
const BODY: u8 = 2;
const PROCESS: u8 = 3;
const PARENT: u8 = 4;
const POD: u8 = 5;
const CONTAINER: u8 = 6;
const IMAGE: u8 = 7;
const PROPERTIES: u8 = 8;
const FILE: u8 = 9;
const INODE: u8 = 10;
const USER: u8 = 11;

const fn slot(slot: S) -> Hit {
    Hit { slot: slot as u8, node: 255 }
}

const fn node(node: u8) -> Hit {
    Hit { slot: 255, node }
}

impl Schema for All {
    #[inline]
    fn key(&self, at: u8, key: &[u8]) -> Hit {
        match at {
            0 => top(key),
            FIELDS => field(key),
            BODY => body(key),
            PROCESS => process(key),
            PARENT => match key {
                b"exec_id" => slot(S::R_EXEC_ID),
                b"binary" => slot(S::R_BINARY),
                _ => NO_HIT,
            },
            POD => match key {
                b"namespace" => slot(S::P_NS),
                b"name" => slot(S::P_POD),
                b"container" => node(CONTAINER),
                _ => NO_HIT,
            },
            CONTAINER => match key {
                b"id" => slot(S::P_CONTAINER_ID),
                b"name" => slot(S::P_CONTAINER_NAME),
                b"image" => node(IMAGE),
                _ => NO_HIT,
            },
            IMAGE if key == b"name" => slot(S::P_IMAGE),
            PROPERTIES if key == b"file" => node(FILE),
            FILE if key == b"inode" => node(INODE),
            INODE if key == b"links" => slot(S::P_LINKS),
            USER if key == b"name" => slot(S::P_USER),
            _ => NO_HIT,
        }
    }

    fn clear(&self, node: u8, slots: &mut [Token]) {
        let (holder, first, last) = match node {
            FIELDS => (S::FIELDS, S::EVT_TYPE, S::GEOMETRY),
            BODY => (S::BODY, S::T_FUNCTION, S::P_FLAGS),
            // A repeated inner object of Tetragon's keeps the fields of the earlier one that it does not repeat.
            _ => return,
        };
        if slots.get(holder as usize).is_some_and(Token::is_present) {
            slots[first as usize..=last as usize].fill(Token::default());
        }
    }
}

#[inline]
fn top(key: &[u8]) -> Hit {
    slot(match key {
        b"output_fields" => return Hit { slot: S::FIELDS as u8, node: FIELDS },
        b"hostname" => S::HOSTNAME,
        b"rule" => S::RULE,
        b"priority" => S::PRIORITY,
        b"output" => S::OUTPUT,
        b"tags" => S::TAGS,
        b"time" => S::TIME,
        b"evt_type" => S::EVT_TYPE_TOP,
        b"process_name" => S::PROCESS_NAME_TOP,
        b"parent_process" => S::PARENT_TOP,
        b"command_line" => S::COMMAND_TOP,
        b"target" => S::TARGET_TOP,
        b"pid" => S::PID_TOP,
        b"signer_trusted" => S::SIGNER_TOP,
        b"hash_sha256" => S::SHA_TOP,
        b"geometry_norm" => S::GEOMETRY_TOP,
        b"schema" => S::SCHEMA,
        b"verdict" => S::VERDICT,
        b"block_kind" => S::BLOCK_KIND,
        b"profile" => S::PROFILE,
        b"verb" => S::VERB,
        b"object" => S::OBJECT,
        b"mode" => S::MODE,
        b"severity" => S::SEVERITY,
        b"action" => S::ACTION,
        b"uid" => S::UID_TOP,
        b"comm" => S::COMM,
        b"start_time_ns" => S::START_TIME,
        b"subject" => S::SUBJECT,
        b"cgroup_id" => S::CGROUP,
        b"node_name" => S::NODE_NAME,
        b"process_exec" => return Hit { slot: S::BODY_EXEC as u8, node: BODY },
        b"process_exit" => return Hit { slot: S::BODY_EXIT as u8, node: BODY },
        b"process_kprobe" | b"process_tracepoint" | b"process_lsm" => return Hit { slot: S::BODY as u8, node: BODY },
        b"process_loader" => return Hit { slot: S::BODY_LOADER as u8, node: BODY },
        b"process_uprobe" => return Hit { slot: S::BODY_UPROBE as u8, node: BODY },
        b"process_usdt" => return Hit { slot: S::BODY_USDT as u8, node: BODY },
        // What Tetragon says of itself: of no process.
        b"rate_limit_info" | b"process_throttle" | b"test" => S::INFO,
        b"source" => S::SOURCE_TOP,
        // A kind of event that is younger than this gate: its process is in the same place.
        key if key.starts_with(b"process_") => return Hit { slot: S::BODY_OTHER as u8, node: BODY },
        _ => return NO_HIT,
    })
}

#[inline]
fn field(key: &[u8]) -> Hit {
    slot(match key {
        b"evt.type" => S::EVT_TYPE,
        b"evt.time" => S::EVT_TIME,
        b"host.name" | b"evt.hostname" => S::HOST_NAME,
        b"k8s.node.name" => S::K8S_NODE,
        b"proc.pid" => S::PROC_PID,
        b"proc.pid.ts" | b"proc.start_ts" => S::PROC_START,
        b"proc.name" => S::PROC_NAME,
        b"proc.exepath" => S::PROC_EXEPATH,
        b"proc.pname" => S::PROC_PNAME,
        b"proc.aname[2]" => S::PROC_ANAME2,
        b"proc.aname[3]" => S::PROC_ANAME3,
        b"proc.aname[4]" => S::PROC_ANAME4,
        b"proc.cmdline" => S::PROC_CMDLINE,
        b"proc.tty" => S::PROC_TTY,
        b"user.name" => S::USER_NAME,
        b"user.uid" => S::USER_UID,
        b"fd.name" => S::FD_NAME,
        b"fd.sip" => S::FD_SIP,
        b"fd.sport" => S::FD_SPORT,
        b"fd.rip" => S::FD_RIP,
        b"fd.rport" => S::FD_RPORT,
        b"fd.cip" => S::FD_CIP,
        b"evt.arg.flags" => S::ARG_FLAGS,
        b"evt.arg.path" => S::ARG_PATH,
        b"evt.arg.filename" => S::ARG_FILENAME,
        b"evt.arg.target" => S::ARG_TARGET,
        b"evt.arg.oldpath" => S::ARG_OLDPATH,
        b"evt.arg.newpath" => S::ARG_NEWPATH,
        b"evt.arg.linkpath" => S::ARG_LINKPATH,
        b"evt.arg.name" => S::ARG_NAME,
        b"proc.args" => S::PROC_ARGS,
        b"container.id" => S::CONTAINER_ID,
        b"container.name" => S::CONTAINER_NAME,
        b"container.image.repository" => S::CONTAINER_IMAGE,
        b"k8s.pod.name" => S::POD,
        b"k8s.ns.name" => S::NS,
        b"proc.is_exe_upper_layer" => S::EXE_UPPER,
        b"proc.is_exe_from_memfd" => S::EXE_MEMFD,
        b"scbe.signer_trusted" | b"proc.is_signed" | b"file.trusted" => S::SIGNER,
        b"file.sha256" | b"proc.hash.sha256" | b"scbe.sha256" => S::SHA,
        b"scbe.geometry_norm" => S::GEOMETRY,
        _ => return NO_HIT,
    })
}

#[inline]
fn body(key: &[u8]) -> Hit {
    slot(match key {
        b"process" => return Hit { slot: S::BODY as u8, node: PROCESS },
        b"parent" => return node(PARENT),
        b"function_name" => S::T_FUNCTION,
        b"args" => S::T_ARGS,
        b"action" => S::T_ACTION,
        b"policy_name" => S::T_POLICY,
        b"tags" => S::T_TAGS,
        b"subsys" => S::T_SUBSYS,
        b"event" => S::T_EVENT,
        b"path" => S::T_PATH,
        b"symbol" => S::T_SYMBOL,
        b"provider" => S::T_PROVIDER,
        b"name" => S::T_NAME,
        b"ancestors" => S::T_ANCESTORS,
        _ => return NO_HIT,
    })
}

#[inline]
fn process(key: &[u8]) -> Hit {
    slot(match key {
        b"exec_id" => S::P_EXEC_ID,
        b"pid" => S::P_PID,
        b"uid" => S::P_UID,
        b"binary" => S::P_BINARY,
        b"arguments" => S::P_ARGUMENTS,
        b"start_time" => S::P_START,
        b"parent_exec_id" => S::P_PARENT_EXEC_ID,
        b"docker" => S::P_DOCKER,
        b"flags" => S::P_FLAGS,
        b"pod" => return node(POD),
        b"binary_properties" => return node(PROPERTIES),
        b"user" => return node(USER),
        _ => return NO_HIT,
    })
}
