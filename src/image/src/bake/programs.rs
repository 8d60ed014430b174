//! The programs that a policy's subjects name: the kernel knows each by its real path.

use super::BakeError;
use super::image::{Image, Kind};

/// What is wrong with the programs that the image does not have at the paths that the policy says.
pub fn missing(image: &dyn Image, programs: &[String]) -> Result<Vec<String>, BakeError> {
    let mut out = Vec::new();
    for program in programs {
        match image.find(program.trim_start_matches('/')) {
            Ok(Some(found)) if found.kind == Kind::File => {}
            Ok(Some(found)) if found.kind == Kind::Link => {
                out.push(format!("{program} (a link in the image: name what it leads to)"));
            }
            Err(BakeError::Symlink(part)) => {
                out.push(format!("{program} (/{part} is a link in the image: name what it leads to)"));
            }
            Ok(_) | Err(BakeError::InTheWay { .. }) => out.push(program.clone()),
            Err(e) => return Err(e),
        }
    }
    Ok(out)
}
