/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * When a program is attached: an attached program costs every task, also those that nothing
 * confines. The words stand below the program's SEC() and go into the object's type information
 * (BTF), where the agent reads them (src/agent/src/load/need.rs).
 *
 *   always           whatever the policy
 *   read, bind, …    some subject governs the verb; each keyword of src/base/src/model/verb.rs
 *   file             any verb whose object is a path
 *   kernel:mount, …  some subject governs the kernel operation; each name of verb.rs
 *   exec_changes     some exec changes a subject (KILN_H_EXEC)
 *   rates            some limit is a rate of network traffic (KILN_H_RATES)
 *   throttles        some rule or limit throttles a unit (KILN_H_THROTTLE)
 *   names            some rule permits connections by the name of their peer (KILN_H_DNS)
 *   peers            some rule on accept names addresses (KILN_H_PEER)
 *   datagrams        some profile governs accept, or some rule refuses datagrams (KILN_H_DATAGRAM)
 *   narrowed         and only where a task may hold what the policy would not permit now
 *
 * Any one of the words is enough, but for `narrowed`, which is asked for beside one of them.
 */
#ifndef KILN_NEEDS_H
#define KILN_NEEDS_H

#define NEEDS(words) __attribute__((btf_decl_tag("kiln:needs " words)))

#endif
