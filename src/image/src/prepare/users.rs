//! The users whom an image knows: the kernel knows users by number, and policies name them.

use std::path::Path;

use kiln_base::abi::{Tables, TablesError};
use kiln_lang::compile::Users;

use crate::bake;

/// Tables that mean other users than the image has.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The tables cannot be read.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// A pattern matches others there.
    #[error(
        "by `user \"{pattern}\"` the tables mean {}, and the image's /etc/passwd says {}; compile the policy for this \
         image (`kiln compile --image`), or write numbers",
        shown(tables),
        shown(image)
    )]
    Others {
        /// As the policy has it.
        pattern: String,
        /// Numbers of the users that the tables mean.
        tables: Vec<u32>,
        /// Of those that the image has.
        image: Vec<u32>,
    },
}

fn shown(uids: &[u32]) -> String {
    let all: Vec<String> = uids.iter().map(u32::to_string).collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
}

/// The users of an image's /etc/passwd; none where that cannot be read.
pub fn users(target: &Path, partition: Option<u32>) -> Users {
    let text = bake::open(target, partition).and_then(|image| image.read("etc/passwd"));
    Users::of_passwd(&String::from_utf8_lossy(&text.unwrap_or_default()))
}

/// Whether the tables mean the users whom the image has by these names.
///
/// # Errors
/// [`UsersError::Others`] for the first pattern that matches others.
pub(super) fn agree(tables: &[u8], image: &Users) -> Result<(), UsersError> {
    for info in Tables::read(tables)?.metadata.users {
        let there = image.uids(&info.pattern).unwrap_or_default();
        if there != info.uids {
            return Err(UsersError::Others { pattern: info.pattern, tables: info.uids, image: there });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kiln_lang::compile::Image;

    use super::*;

    #[test]
    fn tables_mean_the_users_of_the_image() {
        let text = r#"pdl 1; guard g { subject user "{web,db}"; deny kernel bpf; }"#;
        let policy = kiln_lang::policy::load(&[kiln_lang::pdl::Source::new("p.pdl", text)], &kiln_lang::pdl::NoFiles);
        let policy = policy.unwrap();
        let options = kiln_lang::compile::Options {
            policy: kiln_lang::policy::digest(&policy),
            serial: 1,
            kernel: kiln_lang::compile::KernelVersion::BASELINE,
        };
        let here = Users::of_passwd("root:x:0:0::/:/bin/sh\nweb:x:33:33::/:/bin/sh\ndb:x:70:70::/:/bin/sh\n");
        let tables = kiln_lang::compile::compile_for(&policy, &options, Image { users: &here, info: None }).unwrap();
        super::super::proof::prove(&tables).unwrap();
        let tables = tables.to_bytes().unwrap();
        agree(&tables, &here).unwrap();
        for elsewhere in ["", "web:x:33:33::/:/bin/sh\n", "web:x:34:34::/:/bin/sh\ndb:x:70:70::/:/bin/sh\n"] {
            let said = agree(&tables, &Users::of_passwd(elsewhere)).unwrap_err().to_string();
            assert!(said.contains("33, 70") && said.contains("--image"), "{said}");
        }
    }
}
