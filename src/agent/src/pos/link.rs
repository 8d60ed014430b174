//! Between the POS's threads and the main thread, which alone touches the kernel.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use kiln_base::event::Evidence;
use rustix::event::{EventfdFlags, eventfd};

use crate::error::{AgentError, Result, Step};
use crate::update::store::Verified;

/// What is asked of the main thread.
#[derive(Debug)]
pub enum Ask {
    /// Enforce this; it must be confirmed in time.
    Apply(Box<Verified>),
    /// The POS has taken the evidence of this serial.
    Confirm(u64),
    /// Prove anew what is in force; the answer's second number is the sequence by which it came.
    Prove,
}

/// The answer, or why not.
pub type Reply = std::result::Result<Option<(Evidence, u64)>, String>;

/// A question with the way back.
pub type Question = (Ask, Sender<Reply>);

/// The main thread's end.
#[derive(Debug)]
pub struct Inbox {
    questions: Receiver<Question>,
    wake: Arc<OwnedFd>,
}

/// The other threads' end.
#[derive(Debug, Clone)]
pub struct Outbox {
    questions: Sender<Question>,
    wake: Arc<OwnedFd>,
}

/// A pair of ends.
///
/// # Errors
/// If the kernel has no descriptor left.
pub fn pair() -> Result<(Outbox, Inbox)> {
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|e| AgentError::kernel(Step::Eventfd, e.into()))?;
    let wake = Arc::new(wake);
    let (sender, receiver) = channel();
    Ok((Outbox { questions: sender, wake: wake.clone() }, Inbox { questions: receiver, wake }))
}

impl Inbox {
    /// The next question, if there is one. Clears the wake-up.
    pub fn next(&self) -> Option<Question> {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        self.questions.try_recv().ok()
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Outbox {
    /// Asks and waits.
    pub fn ask(&self, ask: Ask) -> Reply {
        let (sender, receiver) = channel();
        self.questions.send((ask, sender)).map_err(|_| "the agent ends".to_owned())?;
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        receiver.recv().map_err(|_| "the agent ends".to_owned())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_across_threads() {
        let (outbox, inbox) = pair().unwrap();
        let asker = std::thread::spawn(move || outbox.ask(Ask::Confirm(7)));
        let (ask, reply) = loop {
            match inbox.next() {
                Some(question) => break question,
                None => std::thread::yield_now(),
            }
        };
        assert!(matches!(ask, Ask::Confirm(7)));
        reply.send(Err("no".into())).unwrap();
        assert_eq!(asker.join().unwrap().unwrap_err(), "no");
        drop(inbox);
    }

    #[test]
    fn without_a_main_thread_there_is_no_waiting() {
        let (outbox, inbox) = pair().unwrap();
        drop(inbox);
        assert!(outbox.ask(Ask::Prove).is_err());
    }
}
