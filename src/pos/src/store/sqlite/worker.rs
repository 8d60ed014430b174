//! One thread that owns a database connection and runs jobs on it in order.
//!
//! Jobs that wait together share one transaction, so that one fsync serves many requests; each job has its own savepoint, and
//! nobody is answered before the commit. So what was acknowledged is on disk, and what failed left nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::store::{Fault, Reply, StoreError};

/// Jobs that share a commit at most.
const GROUP: usize = 64;
/// Jobs that may wait; more wait in their own requests.
const QUEUE: usize = 1024;

/// Runs after the commit, with its fault if it failed.
type Answer = Box<dyn FnOnce(Result<(), Fault>) + Send>;
/// Does the work and says whether to keep it.
type Job = Box<dyn FnOnce(&Connection) -> (bool, Answer) + Send>;

/// A handle to the thread; the thread ends when the last handle is gone.
#[derive(Debug, Clone)]
pub struct Worker {
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    /// Starts a thread on a connection. A `writer` groups jobs in immediate transactions, a reader runs them one by one.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(name: &str, conn: Connection, writer: bool) -> std::io::Result<(Worker, thread::JoinHandle<()>)> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(&conn, queue, writer))?;
        Ok((Worker { jobs }, thread))
    }

    /// Runs a job and gives its result once that is durable. An `Err` of the job undoes what it wrote.
    pub fn run<T, F>(&self, work: F) -> Reply<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.run_then(work, |value| value)
    }

    /// The same; `then` runs after the commit and before any later one, whether or not the requester is still there.
    pub fn run_then<T, U, F, G>(&self, work: F, then: G) -> Reply<U>
    where
        T: Send + 'static,
        U: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        G: FnOnce(T) -> U + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            let result = catch_unwind(AssertUnwindSafe(|| work(conn))).unwrap_or_else(|_| Err(Fault::Panicked.into()));
            let keep = result.is_ok();
            // The requester may have gone away; the work stands all the same.
            let answer: Answer = Box::new(move |commit| {
                let _ = tell.send(commit.map_err(StoreError::from).and(result).map(then));
            });
            (keep, answer)
        });
        let jobs = self.jobs.clone();
        Box::pin(async move {
            jobs.send(job).await.map_err(|_| Fault::Ended)?;
            told.await.map_err(|_| Fault::Ended)?
        })
    }
}

fn run(conn: &Connection, mut queue: mpsc::Receiver<Job>, writer: bool) {
    while let Some(first) = queue.blocking_recv() {
        if !writer {
            let (_, answer) = first(conn);
            answer(Ok(()));
            continue;
        }
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = queue.try_recv()
        {
            group.push(job);
        }
        commit(conn, group);
    }
}

fn commit(conn: &Connection, group: Vec<Job>) {
    let begun = conn.execute_batch("BEGIN IMMEDIATE");
    let mut answers = Vec::with_capacity(group.len());
    let mut fault = begun.err();
    if fault.is_none() {
        for job in group {
            match in_savepoint(conn, job) {
                Ok(answer) => answers.push(answer),
                Err((answer, error)) => {
                    answers.push(answer);
                    fault = Some(error);
                    break;
                }
            }
        }
        fault = fault.or_else(|| conn.execute_batch("COMMIT").err());
        if fault.is_some() {
            // Where SQLite rolled back by itself this says so; there is nothing else to do.
            let _ = conn.execute_batch("ROLLBACK");
        }
    }
    // Jobs that were not run are dropped here: their requesters hear that the database failed.
    let result = match fault {
        Some(error) => Err(Fault::Commit(error.to_string())),
        None => Ok(()),
    };
    for answer in answers {
        answer(result.clone());
    }
}

fn in_savepoint(conn: &Connection, job: Job) -> Result<Answer, (Answer, rusqlite::Error)> {
    if let Err(error) = conn.execute_batch("SAVEPOINT job") {
        return Err((Box::new(|_| ()), error));
    }
    let (keep, answer) = job(conn);
    let end = if keep { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    match conn.execute_batch(end) {
        Ok(()) => Ok(answer),
        Err(error) => Err((answer, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_failed_job_leaves_nothing_and_its_neighbours_stand() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t(n INTEGER)").unwrap();
        let (worker, thread) = Worker::start("test", conn, true).unwrap();
        let jobs: Vec<_> = (0..200_i64)
            .map(|n| {
                let worker = worker.clone();
                tokio::spawn(async move {
                    worker
                        .run(move |conn| {
                            conn.execute("INSERT INTO t VALUES (?1)", [n])?;
                            match n % 5 {
                                0 => Err(StoreError::UnknownToken),
                                1 => panic!("a fault"),
                                _ => Ok(n),
                            }
                        })
                        .await
                })
            })
            .collect();
        for (n, job) in jobs.into_iter().enumerate() {
            let result = job.await.unwrap();
            match n % 5 {
                0 => assert!(matches!(result, Err(StoreError::UnknownToken))),
                1 => assert!(matches!(result, Err(StoreError::Fault(Fault::Panicked)))),
                _ => assert_eq!(result.unwrap(), n as i64),
            }
        }
        let count = worker.run(|c| Ok(c.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0))?)).await;
        assert_eq!(count.unwrap(), 120);
        drop(worker);
        thread.join().unwrap();
    }
}
