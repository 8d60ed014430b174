//! Where a fact stands in the image.

use std::fmt;

use kiln_base::model::{Because, RefKind};
use serde::Serialize;

/// Where a fact was read. Its text becomes the `because manifest "…"` of the rules that follow from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Origin {
    /// A line of a text file of the image: `/etc/nginx/nginx.conf:12`.
    Line {
        /// Path in the image.
        file: String,
        /// Counted from 1.
        line: u32,
    },
    /// A path of a package's file list: `package nginx-common: /usr/share/nginx/html`.
    Package {
        /// Package name.
        package: String,
        /// As the package lists it.
        path: String,
    },
    /// Something in an ELF file: `elf /usr/sbin/nginx: DT_NEEDED libc.so.6`.
    Elf {
        /// Path in the image.
        file: String,
        /// The entry.
        what: String,
    },
    /// What a known component does by its documentation: `glibc: nsswitch.conf(5)`.
    Known {
        /// The component.
        who: String,
        /// What it does, or where that is documented.
        what: String,
    },
}

impl Origin {
    /// A line of a file.
    pub fn line(file: impl Into<String>, line: u32) -> Origin {
        Origin::Line { file: file.into(), line }
    }
    /// A path of a package.
    pub fn package(package: impl Into<String>, path: impl Into<String>) -> Origin {
        Origin::Package { package: package.into(), path: path.into() }
    }
    /// An entry of an ELF file.
    pub fn elf(file: impl Into<String>, what: impl Into<String>) -> Origin {
        Origin::Elf { file: file.into(), what: what.into() }
    }
    /// What a component is known to do.
    pub fn known(who: impl Into<String>, what: impl Into<String>) -> Origin {
        Origin::Known { who: who.into(), what: what.into() }
    }
    /// The reference of a rule.
    pub fn because(&self) -> Because {
        Because { kind: RefKind::Manifest, text: self.to_string() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line { file, line } => write!(f, "{file}:{line}"),
            Origin::Package { package, path } => write!(f, "package {package}: {path}"),
            Origin::Elf { file, what } => write!(f, "elf {file}: {what}"),
            Origin::Known { who, what } => write!(f, "{who}: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_a_reviewer_can_follow() {
        assert_eq!(Origin::line("/etc/nginx/nginx.conf", 12).to_string(), "/etc/nginx/nginx.conf:12");
        assert_eq!(
            Origin::package("nginx-common", "/usr/share/nginx").to_string(),
            "package nginx-common: /usr/share/nginx"
        );
        let elf = Origin::elf("/usr/sbin/nginx", "DT_NEEDED libc.so.6");
        assert_eq!(elf.because().to_string(), "manifest \"elf /usr/sbin/nginx: DT_NEEDED libc.so.6\"");
    }
}
