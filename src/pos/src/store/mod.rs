//! What the service keeps, and the database that keeps it.

mod sqlite;

pub use sqlite::*;
