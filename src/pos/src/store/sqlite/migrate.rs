//! The database's layout, in steps that are never changed once released; a new one is appended.

use rusqlite::Connection;

use super::error::OpenError;

/// Step N brings `PRAGMA user_version` from N to N+1.
const STEPS: &[&str] = &[
    // 0 -> 1. Times are milliseconds since 1970; digests and keys are raw bytes.
    "
    CREATE TABLE tables(
        digest BLOB PRIMARY KEY, kernel_part BLOB NOT NULL, policy BLOB NOT NULL, serial INTEGER NOT NULL,
        bytes BLOB NOT NULL, added INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE versions(
        name TEXT NOT NULL, serial INTEGER NOT NULL, policy BLOB NOT NULL,
        tables BLOB NOT NULL REFERENCES tables(digest),
        statement TEXT NOT NULL, baked INTEGER NOT NULL, published INTEGER NOT NULL, PRIMARY KEY(name, serial)
    ) STRICT;
    CREATE TABLE images(
        id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, name TEXT NOT NULL, bundle BLOB,
        policy_name TEXT NOT NULL, baked_serial INTEGER NOT NULL, assigned_serial INTEGER, registered INTEGER NOT NULL,
        FOREIGN KEY(policy_name, baked_serial) REFERENCES versions(name, serial)
    ) STRICT;
    CREATE TABLE image_keys(
        image INTEGER NOT NULL REFERENCES images(id), pem TEXT NOT NULL, PRIMARY KEY(image, pem)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE instances(
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, image INTEGER NOT NULL REFERENCES images(id),
        key BLOB NOT NULL, certificate TEXT NOT NULL, facts TEXT NOT NULL, boot TEXT NOT NULL,
        enrolled INTEGER NOT NULL, last_seen INTEGER NOT NULL, revoked INTEGER, revoke_reason TEXT,
        sequence INTEGER NOT NULL DEFAULT 0, enforced INTEGER, refused INTEGER,
        violations INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX instances_image ON instances(image);
    CREATE TABLE tokens(
        id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, image INTEGER NOT NULL REFERENCES images(id),
        created INTEGER NOT NULL, expires INTEGER NOT NULL, instance INTEGER REFERENCES instances(id)
    ) STRICT;
    CREATE TABLE certificates(
        fingerprint BLOB PRIMARY KEY, operator TEXT, instance INTEGER REFERENCES instances(id),
        issued INTEGER NOT NULL, expires INTEGER NOT NULL, CHECK((operator IS NULL) <> (instance IS NULL))
    ) STRICT;
    CREATE INDEX certificates_instance ON certificates(instance);
    CREATE TABLE assignments(
        instance INTEGER NOT NULL REFERENCES instances(id), sequence INTEGER NOT NULL, name TEXT NOT NULL,
        serial INTEGER NOT NULL, envelope TEXT NOT NULL, assigned INTEGER NOT NULL, PRIMARY KEY(instance, sequence),
        FOREIGN KEY(name, serial) REFERENCES versions(name, serial)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE acks(
        id INTEGER PRIMARY KEY AUTOINCREMENT, instance INTEGER NOT NULL REFERENCES instances(id), hash BLOB NOT NULL,
        sequence INTEGER NOT NULL, serial INTEGER NOT NULL, evidence TEXT, boot TEXT, reason TEXT,
        received INTEGER NOT NULL, UNIQUE(instance, hash)
    ) STRICT;
    CREATE INDEX acks_instance ON acks(instance, id);
    CREATE TABLE boots(
        id INTEGER PRIMARY KEY AUTOINCREMENT, instance INTEGER NOT NULL REFERENCES instances(id), boot TEXT NOT NULL,
        highest INTEGER NOT NULL, dropped INTEGER NOT NULL, UNIQUE(instance, boot)
    ) STRICT;
    CREATE TABLE violations(
        id INTEGER PRIMARY KEY AUTOINCREMENT, instance INTEGER NOT NULL REFERENCES instances(id),
        boot TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, received INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX violations_instance ON violations(instance, id);
    ",
];

/// Brings a database to the layout of this program; each step is one transaction.
///
/// # Errors
/// [`OpenError::Newer`] for a database of a later program, else what SQLite says; the database is then as before the step.
pub fn migrate(conn: &mut Connection) -> Result<(), OpenError> {
    run(conn, STEPS)
}

fn run(conn: &mut Connection, steps: &[&str]) -> Result<(), OpenError> {
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let (Ok(from), true) = (usize::try_from(found), found <= steps.len() as i64) else {
        return Err(OpenError::Newer { found, known: steps.len() as i64 });
    };
    for (n, step) in steps.iter().enumerate().skip(from) {
        let change = conn.transaction()?;
        change.execute_batch(step)?;
        change.pragma_update(None, "user_version", n as i64 + 1)?;
        change.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: i64 = STEPS.len() as i64;

    fn version(conn: &Connection) -> i64 {
        conn.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap()
    }

    #[test]
    fn steps_run_once_each_and_a_broken_one_changes_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        migrate(&mut conn).unwrap();
        assert_eq!(version(&conn), VERSION);

        let good = [&STEPS[0], &"ALTER TABLE images ADD COLUMN note TEXT"].map(|s| *s);
        let broken = [STEPS[0], "CREATE TABLE half(n INTEGER); INSERT INTO nowhere VALUES (1)"];
        assert!(matches!(run(&mut conn, &broken), Err(OpenError::Sql(_))));
        assert_eq!(version(&conn), 1);
        assert!(conn.prepare("SELECT * FROM half").is_err());
        run(&mut conn, &good).unwrap();
        assert_eq!(version(&conn), 2);
        conn.prepare("SELECT note FROM images").unwrap();
    }

    #[test]
    fn a_later_layout_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        for found in [VERSION + 1, -1] {
            conn.pragma_update(None, "user_version", found).unwrap();
            assert!(matches!(migrate(&mut conn), Err(OpenError::Newer { .. })), "{found}");
        }
    }

    /// The first released layout with rows in it still opens: the test that each later step must pass.
    #[test]
    fn rows_of_the_first_layout_survive() {
        let mut conn = Connection::open_in_memory().unwrap();
        run(&mut conn, &STEPS[..1]).unwrap();
        conn.execute_batch(
            "INSERT INTO tables VALUES (x'01', x'02', x'05', 1, x'03', 4);
             INSERT INTO versions VALUES ('nginx', 1, x'05', x'01', '{}', 1, 6);
             INSERT INTO images(digest, name, policy_name, baked_serial, registered) VALUES (x'07', 'web', 'nginx', 1, 8);",
        )
        .unwrap();
        migrate(&mut conn).unwrap();
        let name: String = conn.query_row("SELECT name FROM images WHERE digest = x'07'", [], |r| r.get(0)).unwrap();
        assert_eq!(name, "web");
    }
}
