//! What stands at the top of a file.

use super::*;

const DAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const PARAM_TYPES: &[&str] = &["path", "cidr", "port", "name"];

impl Parser<'_> {
    pub(super) fn whole_file(&mut self) {
        self.edition();
        while !self.at(Eof) {
            match self.nth(0).text {
                "import" => self.import(),
                "let" => self.let_(),
                "window" => self.window(),
                "abstraction" => self.abstraction(),
                "profile" => self.block(Profile),
                "guard" => self.block(Guard),
                _ => self.unknown_item(),
            }
        }
    }

    fn edition(&mut self) {
        if self.at_word("pdl") {
            return self.node(Edition, |p| {
                p.bump();
                p.expect(Int, "the language edition is 1: `pdl 1;`");
                p.semicolon();
            });
        }
        let token = self.nth(0);
        let span = token.start..token.start + token.text.len();
        let error = Diagnostic::error(Code::Edition, self.file, span, "the file does not say its language edition")
            .because("the first statement is the edition")
            .mend("start the file with `pdl 1;`");
        self.error(error);
    }

    fn unknown_item(&mut self) {
        let token = self.nth(0);
        if token.kind == Word {
            let span = token.start..token.start + token.text.len();
            let mend = match closest(token.text, words::ITEMS.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None if words::STATEMENTS.contains(&token.text) => {
                    "rules stand within a `profile`, `guard` or `abstraction`".to_owned()
                }
                None => "write one of import, let, window, abstraction, profile, guard".to_owned(),
            };
            let message = format!("`{}` starts nothing that stands at the top of a file", token.text);
            let error = Diagnostic::error(Code::UnknownWord, self.file, span, message)
                .because("an import, let, window, abstraction, profile or guard belongs here")
                .mend(mend);
            self.error(error);
        } else {
            self.expected("a definition", "write one of import, let, window, abstraction, profile, guard");
        }
        // A whole unknown block goes at once, so that its statements are not each complained about.
        if matches!(token.kind, RBrace | Semicolon) {
            return self.node(Error, Self::bump);
        }
        if !self.at(LBrace) {
            self.skip_statement();
        }
        if self.at(LBrace) {
            self.skip_braces();
        } else if self.at(RBrace) {
            self.node(Error, Self::bump);
        }
    }

    fn import(&mut self) {
        self.node(Import, |p| {
            p.bump();
            p.expect(Str, "name what to import: `import \"std/base@1\";`");
            if p.eat_word("as") {
                p.name("a namespace");
            }
            p.semicolon();
        });
    }

    fn let_(&mut self) {
        self.node(Let, |p| {
            p.bump();
            p.name("a name");
            if p.expect(Equals, "`let name = value;`") {
                p.value(0);
            }
            p.semicolon();
        });
    }

    fn window(&mut self) {
        self.node(Window, |p| {
            p.bump();
            p.name("a window's name");
            p.braces(|p| {
                p.window_span();
            });
        });
    }

    fn window_span(&mut self) {
        if !self.at(Word) {
            self.expected("days", "a span is written `mon-fri 22:00-04:00 zone \"Europe/Berlin\";`");
            return self.skip_statement();
        }
        self.node(WindowSpan, |p| {
            if !p.eat_word("daily") {
                p.comma_list(|p| {
                    p.node(DayRange, |p| {
                        if p.expect_word("a day", DAYS) && p.eat(Dash) {
                            p.expect_word("a day", DAYS);
                        }
                    });
                });
            }
            let time = "a span is written `mon-fri 22:00-04:00 zone \"Europe/Berlin\";`";
            if p.expect(Time, time)
                && p.expect(Dash, time)
                && p.expect(Time, time)
                && p.expect_word("`zone`", &["zone"])
            {
                p.expect(Str, "name a time zone: zone \"Europe/Berlin\"");
            }
            p.semicolon();
        });
    }

    fn abstraction(&mut self) {
        self.node(Abstraction, |p| {
            p.bump();
            p.name("an abstraction's name");
            if p.at(LParen) {
                p.node(ParamList, |p| {
                    p.bump();
                    p.comma_list(Self::param);
                    p.expect(RParen, "close the parameters with `)`");
                });
            }
            p.braces(Self::statement);
        });
    }

    fn param(&mut self) {
        self.node(Param, |p| {
            p.name("a parameter's name");
            if p.expect(Colon, "a parameter has a type: `dir: path`") {
                p.expect_word("a type", PARAM_TYPES);
            }
            if p.eat(Equals) {
                p.value(0);
            }
        });
    }

    fn block(&mut self, kind: SyntaxKind) {
        self.node(kind, |p| {
            p.bump();
            p.name(if kind == Guard { "a guard's name" } else { "a profile's name" });
            p.braces(Self::statement);
        });
    }

    /// `"{" {item} "}"`
    fn braces(&mut self, mut item: impl FnMut(&mut Self)) {
        let open = self.nth(0);
        if !self.expect(LBrace, "the block's statements stand in `{ … }`") {
            if self.ends_here() && !self.at_any(words::STATEMENTS) {
                return;
            }
            if !self.at_any(words::STATEMENTS) {
                self.skip_statement();
            }
            if !self.eat(LBrace) && !self.at_any(words::STATEMENTS) {
                return;
            }
        }
        loop {
            // An item's word followed by a name and a brace can only be the next block: this one was not closed.
            let next_block =
                self.at_any(words::ITEMS) && self.nth(1).kind == Word && matches!(self.nth(2).kind, LBrace | LParen);
            if self.at(Eof) || next_block {
                let error = Diagnostic::error(
                    Code::UnclosedBlock,
                    self.file,
                    open.start..open.start + open.text.len(),
                    "the block is not closed",
                )
                .because("this `{` has no `}`")
                .mend("add `}` where the block ends");
                return self.error(error);
            }
            if self.eat(RBrace) {
                return;
            }
            let before = self.pos;
            item(self);
            if self.pos == before {
                // Nothing was read: pass over what is in the way.
                if self.at(LBrace) { self.skip_braces() } else { self.node(Error, Self::bump) }
            }
        }
    }
}
