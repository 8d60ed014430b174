//! Statements of blocks that are not rules.

use super::*;

const SELECTORS: &[&str] = &["exec", "unit", "image", "user", "host", "label"];
const REFS: &[&str] = &["manifest", "control", "trace", "ticket"];
const ACTIONS: &[&str] = &["alert", "throttle", "quarantine", "kill"];

impl Parser<'_> {
    /// One statement of a profile, guard or abstraction. What does not belong into this kind of block is still read,
    /// and said to be wrong when the block is resolved.
    pub(super) fn statement(&mut self) {
        let token = self.nth(0);
        if token.kind != Word {
            self.expected("a statement", "write one of subject, mode, governs, use, limit, allow, deny, watch, never");
            return self.skip_statement();
        }
        match token.text {
            "subject" => self.node(Subject, |p| {
                p.bump();
                p.selectors();
                p.semicolon();
            }),
            "mode" => self.node(Mode, |p| {
                p.bump();
                p.expect_word("a mode", &["enforce", "audit", "learn"]);
                p.semicolon();
            }),
            "governs" => self.node(Governs, |p| {
                p.bump();
                p.classes();
                p.semicolon();
            }),
            "active" => self.node(Active, |p| {
                p.bump();
                if p.expect_word("`during`", &["during"]) {
                    p.dotted("a window's name");
                }
                if p.eat_word("else") {
                    p.expect_word("an action", ACTIONS);
                }
                p.because();
                p.semicolon();
            }),
            "on" => self.node(OnViolation, |p| {
                p.bump();
                p.expect_word("`violation`", &["violation"]);
                if p.eat_word("of") {
                    p.classes();
                }
                p.outcome();
                p.semicolon();
            }),
            "use" => self.node(Use, |p| {
                p.bump();
                p.dotted("an abstraction's name");
                if p.at(LParen) {
                    p.node(Args, |p| {
                        p.bump();
                        p.comma_list(|p| p.value(0));
                        p.expect(RParen, "close the arguments with `)`");
                    });
                }
                p.because();
                p.semicolon();
            }),
            "limit" => self.limit(),
            "allow" | "deny" | "watch" => self.rule(),
            "never" => self.never(),
            _ => self.unknown_statement(),
        }
    }

    fn unknown_statement(&mut self) {
        let token = self.nth(0);
        let span = token.start..token.start + token.text.len();
        let mend = match closest(token.text, words::STATEMENTS.iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None if words::CLASSES.contains(&token.text) => {
                format!("a rule starts with its effect: `allow {} …;`", token.text)
            }
            None => format!("write one of {}", words::STATEMENTS.join(", ")),
        };
        let error =
            Diagnostic::error(Code::UnknownWord, self.file, span, format!("`{}` starts no statement", token.text))
                .because("a head line, a rule, a limit or a use belongs here")
                .mend(mend);
        self.error(error);
        self.skip_statement();
    }

    /// `sel {"," sel}`
    pub(super) fn selectors(&mut self) {
        self.comma_list(|p| {
            p.node(Selector, |p| {
                if p.expect_word("a selector", SELECTORS) {
                    p.expect(Str, "a selector has a pattern: unit \"nginx.service\"");
                }
            });
        });
    }

    /// `class {"," class}`
    fn classes(&mut self) {
        self.node(Verbs, |p| {
            p.comma_list(|p| {
                p.expect_word("a class", words::CLASSES);
            });
        });
    }

    /// `["severity" SEV] ["then" ACTION]`
    pub(super) fn outcome(&mut self) {
        if !self.at_any(&["severity", "then"]) {
            return;
        }
        self.node(Outcome, |p| {
            if p.eat_word("severity") {
                p.expect_word("a severity", &["low", "medium", "high", "critical"]);
            }
            if p.eat_word("then") {
                p.expect_word("an action", ACTIONS);
            }
        });
    }

    /// `["because" ref {"," ref}]`
    pub(super) fn because(&mut self) {
        if !self.at_word("because") {
            return;
        }
        self.node(Because, |p| {
            p.bump();
            p.comma_list(|p| {
                p.node(Ref, |p| {
                    if p.expect_word("a reference", REFS) {
                        p.expect(Str, "say where: manifest \"nginx.service:14\"");
                    }
                });
            });
        });
    }

    fn limit(&mut self) {
        self.node(Limit, |p| {
            p.bump();
            let resource = p.nth(0).text;
            if p.expect_word("a resource", &["cpu", "memory", "pids", "files", "io", "network"]) {
                match resource {
                    "cpu" => p.amount("write percent of one CPU: `limit cpu 50%`"),
                    "memory" => p.amount("write a size: `limit memory 512MiB`"),
                    "pids" | "files" => {
                        p.expect(Int, "write a number: `limit pids 100`");
                    }
                    "io" => p.comma_list(|p| {
                        p.node(IoRate, |p| {
                            if p.expect_word("`read` or `write`", &["read", "write"]) {
                                p.amount("write a rate: `limit io read 10MiB/s`");
                            }
                        });
                    }),
                    _ => {
                        if p.expect_word("`in` or `out`", &["in", "out"]) {
                            p.amount("write a rate: `limit network out 100Mbit/s`");
                        }
                    }
                }
            }
            if p.at_word("during") {
                p.node(During, |p| {
                    p.bump();
                    p.dotted("a window's name");
                });
            }
            p.outcome();
            p.because();
            p.semicolon();
        });
    }

    fn amount(&mut self, mend: &str) {
        self.expect(Quantity, mend);
    }
}
