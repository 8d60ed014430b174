//! Tokens of nginx's configuration, as ngx_conf_read_token() of nginx's src/core/ngx_conf_file.c splits them.

/// Longest word; nginx's own buffer is 4096 bytes.
const MAX_WORD: usize = 4096;

/// A token and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, quotes and escapes undone.
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// What is wrong with the text, and in which line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenError {
    pub line: u32,
    pub why: &'static str,
}

/// Reads one token after the other.
pub(super) struct Tokens<'a> {
    rest: std::str::Chars<'a>,
    line: u32,
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a str) -> Tokens<'a> {
        Tokens { rest: text.chars(), line: 1 }
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.rest.next();
        if c == Some('\n') {
            self.line = self.line.saturating_add(1);
        }
        c
    }

    fn error(&self, why: &'static str) -> TokenError {
        TokenError { line: self.line, why }
    }

    /// The next token with its line; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u32, Token)>, TokenError> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some(c) if is_blank(c) => {
                    self.next_char();
                }
                Some('#') => while !matches!(self.next_char(), None | Some('\n')) {},
                Some(_) => break,
            }
        }
        let line = self.line;
        let token = match self.peek() {
            Some(';') => self.single(Token::End),
            Some('{') => self.single(Token::Open),
            Some('}') => self.single(Token::Close),
            Some(q @ ('"' | '\'')) => {
                self.next_char();
                self.quoted(q)?
            }
            _ => self.bare()?,
        };
        Ok(Some((line, token)))
    }

    fn single(&mut self, token: Token) -> Token {
        self.next_char();
        token
    }

    fn push(&self, word: &mut String, c: char) -> Result<(), TokenError> {
        if word.len() >= MAX_WORD {
            return Err(self.error("a word is longer than 4096 bytes; perhaps a quote is missing"));
        }
        word.push(c);
        Ok(())
    }

    /// Behind a backslash: quotes and control letters are undone, anything else keeps its backslash.
    fn escaped(&mut self, word: &mut String) -> Result<(), TokenError> {
        match self.next_char() {
            Some(c @ ('"' | '\'' | '\\')) => self.push(word, c),
            Some('t') => self.push(word, '\t'),
            Some('r') => self.push(word, '\r'),
            Some('n') => self.push(word, '\n'),
            Some(c) => {
                self.push(word, '\\')?;
                self.push(word, c)
            }
            None => Err(self.error("the file ends behind a backslash")),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Token, TokenError> {
        let mut word = String::new();
        loop {
            match self.next_char() {
                None => return Err(self.error("the file ends within a quoted word")),
                Some('\\') => self.escaped(&mut word)?,
                Some(c) if c == quote => break,
                Some(c) => self.push(&mut word, c)?,
            }
        }
        match self.peek() {
            None | Some(';' | '{' | ')') => Ok(Token::Word(word)),
            Some(c) if is_blank(c) => Ok(Token::Word(word)),
            Some(_) => Err(self.error("a quoted word must end in a blank, `;` or `{`")),
        }
    }

    fn bare(&mut self) -> Result<Token, TokenError> {
        let mut word = String::new();
        // Right behind an unescaped `$`: in `${name}` the brace opens no block.
        let mut variable = false;
        loop {
            let Some(c) = self.peek() else { return Ok(Token::Word(word)) };
            if c == ';' || is_blank(c) || (c == '{' && !variable) {
                return Ok(Token::Word(word));
            }
            self.next_char();
            variable = c == '$' || (variable && c == '{');
            match c {
                '\\' => self.escaped(&mut word)?,
                c => self.push(&mut word, c)?,
            }
        }
    }

    /// Passes over the rest of a block of Lua.
    pub fn skip_lua(&mut self) -> Result<(), TokenError> {
        let text = self.rest.as_str();
        let Some(len) = super::lua::block(text) else {
            return Err(self.error("the file ends within a block of Lua"));
        };
        let lines = text[..len].bytes().filter(|b| *b == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.rest = text[len..].chars();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> Result<Vec<String>, TokenError> {
        let mut tokens = Tokens::new(text);
        let mut out = Vec::new();
        while let Some((line, token)) = tokens.next()? {
            out.push(match token {
                Token::Word(w) => format!("{line}:{w}"),
                Token::End => ";".into(),
                Token::Open => "{".into(),
                Token::Close => "}".into(),
            });
        }
        Ok(out)
    }

    #[test]
    fn words_quotes_variables_comments() {
        let text = "a 'b ;\\'' # c }\nif ($x ~ \"^{2}$\"){root /s/${host}/x; }\nre ~ ^/a\\.b$;";
        assert_eq!(
            all(text).unwrap(),
            [
                "1:a",
                "1:b ;'",
                "2:if",
                "2:($x",
                "2:~",
                "2:^{2}$",
                "2:)",
                "{",
                "2:root",
                "2:/s/${host}/x",
                ";",
                "}",
                "3:re",
                "3:~",
                "3:^/a\\.b$",
                ";"
            ]
        );
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(all("a;\n'b").unwrap_err().line, 2);
        assert!(all("'a'b;").is_err());
        assert!(all(&"x".repeat(5000)).is_err());
        assert!(all("a \\").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|[ \\n'\"\\\\;{}$#])*") {
            let _ = all(&text);
        }
    }
}
