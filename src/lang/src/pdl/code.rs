//! The numbers of diagnostics. They never change their meaning; `docs/pdl.md` lists them.

use std::fmt;

macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident = $number:literal, $title:literal;)*) => {
        /// What is wrong, as a stable number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $title] $variant,)* }
        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];
            /// The number that messages show.
            pub const fn number(self) -> &'static str { match self { $(Code::$variant => $number,)* } }
            /// What the number stands for.
            pub const fn title(self) -> &'static str { match self { $(Code::$variant => $title,)* } }
        }
    };
}

codes! {
    FileTooLarge = "P0101", "The file is larger than 16 MiB or is not UTF-8.";
    Expected = "P0102", "Something else is expected here.";
    UnknownWord = "P0103", "The word does not start or continue any statement.";
    MissingSemicolon = "P0104", "A statement does not end in `;`.";
    UnterminatedString = "P0105", "A quoted string does not end on its line.";
    StrayCharacter = "P0106", "The character is not part of the language.";
    TooDeep = "P0107", "Lists are nested deeper than 64.";
    HeadAfterRule = "P0108", "A head line stands after the first rule.";
    Misplaced = "P0109", "The statement does not belong in this kind of block.";
    Edition = "P0110", "The file does not start with a language edition that is known.";
    UnclosedBlock = "P0111", "A `{` has no `}`.";

    UnknownVariable = "P0201", "No `let` or parameter has this name.";
    UnknownAbstraction = "P0202", "No abstraction has this name.";
    UnknownWindow = "P0203", "No window has this name.";
    UnknownProfile = "P0204", "No profile has this name.";
    UnknownNamespace = "P0205", "No import has this name.";
    Duplicate = "P0206", "The name is taken already.";
    ImportFailed = "P0207", "The imported file cannot be read.";
    Recursion = "P0208", "An import or abstraction leads back to itself.";
    Arguments = "P0209", "The arguments do not fit the abstraction's parameters.";
    UnknownName = "P0210", "No capability, kernel operation, system call or group has this name.";
    Unused = "P0211", "The name is never used (a warning).";

    BadGlob = "P0301", "The pattern is malformed.";
    NotAbsolute = "P0302", "The path does not start with `/`.";
    NotNormalised = "P0303", "The path is not in the form in which the kernel reports it (a warning where only an alternative of a pattern is not).";
    BadAddress = "P0304", "The text is not an address block.";
    BadPort = "P0305", "The number is not a port or the range is empty.";
    BadAmount = "P0306", "The amount has no value or the wrong unit.";
    BadTime = "P0307", "The text is not a time of day.";
    BadZone = "P0308", "No time zone has this name.";
    EmptyValue = "P0309", "The value is empty, so the rule would match nothing.";
    WrongType = "P0310", "The value is of another type than its place needs.";
    BadText = "P0311", "The text has a character that it cannot have.";

    NoSubject = "P0401", "A profile or guard has no subject.";
    SubjectOverlap = "P0402", "Two profiles can match the same task and neither is more specific.";
    AllowInGuard = "P0403", "A guard allows.";
    NeverAllowed = "P0404", "A rule allows what a guard says is never allowed.";
    Contradiction = "P0405", "The parts of the statement contradict each other.";
    SwitchConflict = "P0406", "Two rules switch the same program to different profiles.";
    RepeatedHead = "P0407", "A head line that can stand only once stands twice.";
    HeadInGuard = "P0408", "The head line has no meaning in a guard.";
    Ungoverned = "P0409", "A rule allows what its profile does not govern (a warning).";
    DeadRule = "P0410", "The rule, or an exception of it, can never take effect (a warning).";
    Detour = "P0411", "The rule opens a detour round what its profile governs (a warning).";
    GuardDetour = "P0412", "A guard refuses paths or addresses and leaves a way round (a warning).";
    AddressChanged = "P0413", "Addresses are named, and a task that is bound can change where they lead (a warning).";
    Starter = "P0414", "The rule lets the program have others start programs for it (a warning).";
    WrittenProgram = "P0415", "The profile may write what it may execute or load (a warning).";

    TooMany = "P0501", "The policy expands beyond its bounds.";

    Unenforced = "P0601", "The target kernel cannot enforce this.";
    NotInImage = "P0602", "The image has no such unit, label, name or program.";
    Uncompiled = "P0603", "The policy does not fit the kernel's tables.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_documented() {
        let reference = include_str!("../../../../docs/pdl.md");
        for pair in Code::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{pair:?}");
        }
        for code in Code::ALL {
            assert!(reference.contains(&format!("| {} | {} |", code.number(), code.title())), "{code} in docs/pdl.md");
        }
    }
}
