//! Rules and their objects.

use kiln_base::model::{Class, Verb};

use super::*;

const FILE_VERBS: &[&str] = &{
    let [read, modify, create, delete, setattr, exec, load] = Verb::keywords(Class::File);
    [read, "write", modify, create, delete, setattr, exec, load]
};
const NET_VERBS: &[&str] = &Verb::keywords::<3>(Class::Network);
const NAME_VERBS: &[&str] = &Verb::keywords::<3>(Class::Names);
const PROTOCOLS: &[&str] = &["tcp", "udp", "sctp", "icmp", "unix"];

impl Parser<'_> {
    /// `("allow"|"deny"|"watch") object {cond} outcome [because] ";"`
    pub(super) fn rule(&mut self) {
        self.node(Rule, |p| {
            p.bump();
            p.object();
            p.conditions();
            p.outcome();
            p.because();
            p.semicolon();
        });
    }

    /// `"never" "allow" object [because] ";"`
    pub(super) fn never(&mut self) {
        self.node(Never, |p| {
            p.bump();
            p.expect_word("`allow`", &["allow"]);
            p.object();
            p.because();
            p.semicolon();
        });
    }

    fn conditions(&mut self) {
        loop {
            if self.at_word("during") {
                self.node(During, |p| {
                    p.bump();
                    p.dotted("a window's name");
                });
            } else if self.at_word("by") {
                self.node(By, |p| {
                    p.bump();
                    p.selectors();
                });
            } else {
                return;
            }
        }
    }

    fn object(&mut self) {
        if self.at_any(FILE_VERBS) {
            self.file_object();
        } else if self.at_any(NET_VERBS) {
            self.net_object();
        } else if self.at_any(NAME_VERBS) {
            self.node(NamesObject, |p| {
                p.bump();
                p.node(Names, |p| p.comma_list(Self::class_name));
            });
        } else {
            self.expect_word("a verb", words::CLASSES);
        }
    }

    fn file_object(&mut self) {
        self.node(FileObject, |p| {
            p.node(Verbs, |p| {
                p.comma_list(|p| {
                    p.expect_word("a file verb", FILE_VERBS);
                });
            });
            p.terms();
            p.except();
            if p.at_word("as") {
                p.node(Switch, |p| {
                    p.bump();
                    p.expect(Word, "name the profile to switch to: `allow exec \"/usr/bin/x\" as other;`");
                });
            }
        });
    }

    fn net_object(&mut self) {
        let kind = if self.nth(1).text == "unix" { UnixObject } else { NetObject };
        self.node(kind, |p| {
            p.node(Verbs, |p| {
                p.bump();
                if p.at(Comma) {
                    p.expected("a protocol", "a network rule has one verb: write one rule for each");
                    while p.eat(Comma) {
                        p.eat(Word);
                    }
                }
            });
            if !p.expect_word("a protocol", PROTOCOLS) {
                return;
            }
            if kind == UnixObject {
                p.terms();
                return p.except();
            }
            if Verb::ALL.iter().filter_map(|verb| verb.preposition()).any(|word| p.at_word(word)) {
                p.node(Address, |p| {
                    p.bump();
                    if p.at_word("dns") {
                        p.node(Dns, |p| {
                            p.bump();
                            p.expect(Str, "name the domain: dns \"*.example.org\"");
                        });
                    } else if !p.eat_word("any") && !p.eat_word("loopback") {
                        p.terms();
                    }
                });
            }
            if p.at_word("port") {
                p.node(Ports, |p| {
                    p.bump();
                    p.comma_list(Self::port);
                });
            }
        });
    }

    fn port(&mut self) {
        self.node(Port, |p| match p.nth(0).kind {
            Int => p.int_or_range(),
            Dollar => p.var(),
            _ => p.expected("a port", "write a number 0 to 65535, a range 8080-8083 or a `$name`"),
        });
    }

    /// `term {"," term}`
    fn terms(&mut self) {
        self.node(Terms, |p| {
            p.comma_list(|p| {
                p.node(Term, |p| match p.nth(0).kind {
                    Str => p.node(Literal, Self::bump),
                    Dollar => p.var(),
                    _ => p.expected("a quoted string", "put paths and addresses in double quotes, or use a `$name`"),
                });
            });
        });
    }

    /// `["except" terms]`
    fn except(&mut self) {
        if self.at_word("except") {
            self.node(Except, |p| {
                p.bump();
                p.terms();
            });
        }
    }

    /// `ID | "@" ID | "any" | VAR`
    fn class_name(&mut self) {
        self.node(Name, |p| match p.nth(0).kind {
            Word | Group => p.bump(),
            Dollar => p.var(),
            _ => p.expected("a name", "write a name such as net_bind_service, or `any`"),
        });
    }
}
