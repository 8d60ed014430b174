//! The open streams: one an instance, woken by assignments and by reasons to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kiln_base::wire::CloseReason;
use tokio::sync::watch;

use super::store::{Desired, InstanceId};

/// What a stream is told; only the newest matters.
#[derive(Debug, Clone, Default)]
pub struct Signal {
    /// The newest assignment since the stream opened.
    pub push: Option<Arc<Desired>>,
    /// Why to end.
    pub close: Option<CloseReason>,
}

#[derive(Debug, Default)]
struct Inner {
    streams: HashMap<InstanceId, (u64, watch::Sender<Signal>)>,
    /// Last request of each instance since it was last written to the store.
    seen: HashMap<InstanceId, i64>,
    opened: u64,
    /// Streams that open after this end at once.
    closing: Option<CloseReason>,
}

/// All streams of this service.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Mutex<Inner>>);

/// Keeps a stream listed while it lives.
#[derive(Debug)]
pub struct Listed {
    hub: Hub,
    instance: InstanceId,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut inner = self.hub.lock();
        if inner.streams.get(&self.instance).is_some_and(|(number, _)| *number == self.number) {
            inner.streams.remove(&self.instance);
        }
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock can leave it half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a stream; an older one of the same instance is told to end.
    pub fn open(&self, instance: &InstanceId) -> (Listed, watch::Receiver<Signal>) {
        let mut inner = self.lock();
        inner.opened += 1;
        let number = inner.opened;
        let (tell, told) = watch::channel(Signal::default());
        if let Some(reason) = inner.closing {
            tell.send_modify(|signal| signal.close = Some(reason));
        }
        if let Some((_, older)) = inner.streams.insert(instance.clone(), (number, tell)) {
            older.send_modify(|signal| signal.close = Some(CloseReason::Superseded));
        }
        (Listed { hub: self.clone(), instance: instance.clone(), number }, told)
    }

    /// Puts an assignment on its instance's stream, if it is open and has none that is newer.
    pub fn push(&self, desired: &Arc<Desired>) {
        if let Some((_, tell)) = self.lock().streams.get(&desired.instance) {
            tell.send_if_modified(|signal| {
                let newer = signal.push.as_ref().is_none_or(|there| there.sequence < desired.sequence);
                if newer {
                    signal.push = Some(desired.clone());
                }
                newer
            });
        }
    }

    /// Ends the stream of an instance.
    pub fn close(&self, instance: &InstanceId, reason: CloseReason) {
        if let Some((_, tell)) = self.lock().streams.get(instance) {
            tell.send_modify(|signal| signal.close = Some(reason));
        }
    }

    /// Ends all streams, and those that open later.
    pub fn close_all(&self, reason: CloseReason) {
        let mut inner = self.lock();
        inner.closing = Some(reason);
        for (_, tell) in inner.streams.values() {
            tell.send_modify(|signal| signal.close = Some(reason));
        }
    }

    /// The instances with an open stream.
    pub fn open_streams(&self) -> Vec<InstanceId> {
        self.lock().streams.keys().cloned().collect()
    }

    /// Notes a request of an instance.
    pub fn seen(&self, instance: &InstanceId, now: i64) {
        self.lock().seen.insert(instance.clone(), now);
    }

    /// Takes what [`Hub::seen`] noted, with the open streams as of now.
    pub fn take_seen(&self, now: i64) -> Vec<(InstanceId, i64)> {
        let mut inner = self.lock();
        let mut seen = std::mem::take(&mut inner.seen);
        seen.extend(inner.streams.keys().map(|instance| (instance.clone(), now)));
        seen.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_base::wire::StreamMessage;

    fn id(n: u8) -> InstanceId {
        format!("i-{n}").into()
    }

    fn desired(sequence: u64) -> Arc<Desired> {
        let message = StreamMessage::Heartbeat { time: String::new() };
        Arc::new(Desired { instance: id(1), sequence, message })
    }

    #[test]
    fn the_newer_stream_and_the_newest_assignment_win() {
        let hub = Hub::default();
        let (first, told_first) = hub.open(&id(1));
        let (second, told_second) = hub.open(&id(1));
        assert_eq!(told_first.borrow().close, Some(CloseReason::Superseded));
        drop(first);
        assert!(hub.open_streams().contains(&id(1)), "the end of the older must not unlist the newer");
        hub.push(&desired(2));
        hub.push(&desired(1));
        assert_eq!(told_second.borrow().push.as_ref().unwrap().sequence, 2);
        hub.close(&id(1), CloseReason::Revoked);
        assert_eq!(told_second.borrow().close, Some(CloseReason::Revoked));
        drop(second);
        assert!(!hub.open_streams().contains(&id(1)));
        hub.close_all(CloseReason::Shutdown);
        assert_eq!(hub.open(&id(2)).1.borrow().close, Some(CloseReason::Shutdown));
    }
}
