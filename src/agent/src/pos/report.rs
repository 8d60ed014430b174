//! Sends violations in batches until the POS has them.

use std::time::Duration;

use kiln_base::wire::{ViolationsAnswer, ViolationsRequest};

use crate::machine::lines::notice;
use crate::pos::backoff::Backoff;
use crate::pos::client::Client;
use crate::pos::failure::{Failure, Refused};
use crate::pos::spool::Shared;

/// Fewer than the protocol's 1,000, and well within its 1 MiB.
const BATCH: usize = 200;
const IDLE: Duration = Duration::from_secs(5);

/// Sends for ever; returns only when this instance is revoked.
pub fn run(client: &Client, spool: &Shared) {
    let mut backoff = Backoff::default();
    loop {
        let Some(mut batch) = spool.lock().batch(BATCH) else {
            spool.wait(IDLE);
            continue;
        };
        batch.request.dropped = spool.dropped();
        match client.post::<ViolationsRequest, ViolationsAnswer>("/v1/agent/violations", &batch.request) {
            Ok(answer) => {
                backoff.reset();
                spool.lock().stored(&batch, answer.stored);
            }
            Err(Failure::Final(Refused::ByPos { status: 403, code, text })) => {
                notice(&format!("violations stay here: the POS refuses this instance ({code}): {text}"));
                return;
            }
            Err(failure @ Failure::Final(_)) => {
                // It would be refused for ever; it is in the journal.
                notice(&format!("{} violations are not taken and dropped: {failure}", batch.request.violations.len()));
                let last = batch.request.violations.last().map_or(0, |v| v.seq);
                spool.lock().stored(&batch, last);
            }
            Err(Failure::Retry(_)) => backoff.sleep(Duration::ZERO),
        }
    }
}
