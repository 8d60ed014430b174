//! The edits of an image's boot files.

use serde::Serialize;

use super::line::Edits;
use crate::bake::BakeError;
use crate::bake::image::{Change, Image, Node};

/// One place that was given the parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootEdit {
    /// The file, with leading slash.
    pub file: String,
    /// What was appended to the command line.
    pub parameter: String,
}

/// What is needed so that `bpf` is among the active security modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootPlan {
    /// Files to be written.
    pub changes: Vec<Change>,
    /// The same, for the report.
    pub edits: Vec<BootEdit>,
    /// The parameter, where it is needed and the image has no place for it.
    pub homeless: Option<String>,
}

impl BootPlan {
    /// Inserts into a file.
    pub(super) fn apply(&mut self, image: &dyn Image, file: &str, text: &str, edits: Edits) -> Result<(), BakeError> {
        let (mut out, mut at) = (String::with_capacity(text.len() + 80), 0);
        for (place, insert) in &edits {
            out.push_str(&text[at..*place]);
            out.push_str(insert);
            at = *place;
        }
        out.push_str(&text[at..]);
        match edits.last().and_then(|(_, insert)| insert.split_whitespace().last()) {
            Some(parameter) => self.write(image, file, out, parameter.to_owned()),
            None => Ok(()),
        }
    }

    pub(super) fn write(
        &mut self,
        image: &dyn Image,
        file: &str,
        text: String,
        parameter: String,
    ) -> Result<(), BakeError> {
        let found = image.find(file)?;
        let (mode, owner) = found.map_or((0o644, (0, 0)), |f| (f.mode, (f.uid, f.gid)));
        let node = Node::File { bytes: text.into_bytes(), mode, owner };
        self.changes.push(Change { path: file.to_owned(), node: Some(node) });
        self.edits.push(BootEdit { file: format!("/{file}"), parameter });
        Ok(())
    }
}
