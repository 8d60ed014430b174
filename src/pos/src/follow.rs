//! From what was committed to the streams that it concerns.
//!
//! A handler that commits tells no stream itself: its client may go away between the commit and the telling, and another service
//! on the same store may commit too.

use std::sync::Arc;

use kiln_base::wire::CloseReason;
use tokio_stream::StreamExt;

use super::hub::Hub;
use super::store::{Change, Changes, InstanceId, Store};

/// Tells the streams, until the store is closed.
pub async fn follow(mut changes: Changes, store: Arc<dyn Store>, hub: Hub) {
    while let Some(change) = changes.next().await {
        match change {
            Change::Assigned(new) => new.iter().for_each(|desired| hub.push(desired)),
            Change::Revoked(instance) => hub.close(&instance, CloseReason::Revoked),
            Change::Missed => {
                tracing::warn!("changes were missed; each open stream is compared with the store");
                for instance in hub.open_streams() {
                    compare(&*store, &hub, &instance).await;
                }
            }
        }
    }
}

/// Tells one stream what it may have missed; what it has already is not told again.
async fn compare(store: &dyn Store, hub: &Hub, instance: &InstanceId) {
    match store.instance(instance.as_str().to_owned()).await {
        Ok(view) if view.revoked.is_some() => return hub.close(instance, CloseReason::Revoked),
        Ok(_) => {}
        Err(error) => return tracing::error!(%error, %instance, "cannot compare a stream"),
    }
    match store.desired(instance, 0).await {
        Ok(Some(desired)) => hub.push(&Arc::new(desired)),
        Ok(None) => {}
        Err(error) => tracing::error!(%error, %instance, "cannot compare a stream"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{assigned, each, enrolled, registered};

    #[test]
    fn a_stream_that_missed_changes_is_told_what_it_needs() {
        each(|store| async move {
            let key = registered(&*store).await;
            let (first, second) = (enrolled(&*store, "i-1").await, enrolled(&*store, "i-2").await);
            let hub = Hub::default();
            let (_listed, told_first) = hub.open(&first);
            let (_listed, told_second) = hub.open(&second);
            assigned(&*store, &key, 2).await;
            store.revoke("i-2".into(), "stolen".into(), 0).await.unwrap();
            follow(Box::pin(tokio_stream::once(Change::Missed)), store, hub).await;
            assert_eq!(told_first.borrow().push.as_ref().map(|desired| desired.sequence), Some(1));
            assert_eq!(told_first.borrow().close, None);
            assert_eq!(told_second.borrow().close, Some(CloseReason::Revoked));
        });
    }
}
