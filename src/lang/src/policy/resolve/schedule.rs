//! Windows and limits.

use std::collections::BTreeMap;

use jiff::tz::TimeZoneDatabase;
use kiln_base::model::{Because, Verb};

use crate::pdl::ast::{self, token_span};
use crate::pdl::{Code, Diagnostic, Quantity, SyntaxToken, parse_quantity, parse_time};

use super::super::normal::{Amount, Limit, Span, Window};
use super::block::outcome;
use super::*;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Resolver<'_> {
    /// The name in the policy of a window, which is resolved at its first use.
    pub(super) fn window(&mut self, module: usize, name: &ast::Dotted) -> Option<String> {
        let (target, last, written) = self.window_named(module, name)?;
        let place = Place { file: self.modules[target].file, span: written.name()?.span() };
        if let Some((_, known)) = self.windows.get(&last)
            && *known == place
        {
            return Some(last);
        }
        let window = self.spans(target, &written);
        match self.windows.get(&last) {
            None => {
                self.windows.insert(last.clone(), (window, place));
            }
            Some((known, _)) if *known == window => {}
            Some((_, first)) => {
                let first = first.clone();
                let error = Diagnostic::error(
                    Code::Duplicate,
                    place.file,
                    place.span,
                    format!("two windows are named `{last}`"),
                );
                self.found.push(
                    error
                        .because("windows of all files of a policy share one space, and these two differ")
                        .mend("rename one of them")
                        .see(first.file, first.span, "first defined here"),
                );
                return None;
            }
        }
        Some(last)
    }

    fn spans(&mut self, module: usize, window: &ast::Window) -> Window {
        let mut spans = Vec::new();
        for written in window.spans() {
            let times = written.times();
            let (Some(start), Some(end), Some(zone)) = (times.first(), times.get(1), written.zone()) else { continue };
            let mut days = [written.days().next().is_none(); 7];
            for range in written.days() {
                mark(&mut days, &range.days());
            }
            let (start, end, zone) = (self.time(module, start), self.time(module, end), self.zone(module, &zone));
            if let (Some(start), Some(end), Some(zone)) = (start, end, zone) {
                spans.push(Span { days, start, end, zone });
            }
        }
        let before = self.found.has_errors();
        if spans.is_empty() && !before {
            let why = "the window would never be open";
            self.error(
                module,
                Code::EmptyValue,
                window.span(),
                "the window has no times",
                why,
                "add a line such as `mon-fri 08:00-18:00 zone \"UTC\";`",
            );
        }
        Window { spans }
    }

    fn time(&mut self, module: usize, token: &SyntaxToken) -> Option<u16> {
        let parsed = parse_time(token.text());
        if parsed.is_none() {
            let message = format!("`{}` is not a time of day", token.text());
            self.error(
                module,
                Code::BadTime,
                token_span(token),
                message,
                "times are 00:00 to 24:00",
                "write hours and two digits of minutes: 08:30",
            );
        }
        parsed
    }

    fn zone(&mut self, module: usize, token: &SyntaxToken) -> Option<String> {
        let name = self.text(module, token)?;
        match TimeZoneDatabase::bundled().get(&name) {
            Ok(zone) => Some(zone.iana_name().unwrap_or(&name).to_owned()),
            Err(_) => {
                let message = format!("no time zone is named `{name}`");
                let why = "zones have names of the IANA time zone database";
                self.error(
                    module,
                    Code::BadZone,
                    token_span(token),
                    message,
                    why,
                    "write a name such as \"Europe/Berlin\" or \"UTC\"",
                );
                None
            }
        }
    }

    pub(super) fn limit(
        &mut self,
        module: usize,
        limit: &ast::Limit,
        because: Vec<Because>,
        origin: String,
    ) -> Option<Limit> {
        let amount = self.amount(module, limit)?;
        let during = match limit.during() {
            Some(during) => Some(self.window(module, &during.window()?)?),
            None => None,
        };
        Some(Limit { amount, during, outcome: outcome(limit.outcome().as_ref()), because, origin })
    }

    fn amount(&mut self, module: usize, limit: &ast::Limit) -> Option<Amount> {
        let resource = limit.resource()?;
        match resource.text() {
            "io" => {
                let mut rates = BTreeMap::new();
                for rate in limit.rates() {
                    let (verb, token) = (rate.verb()?, rate.amount()?);
                    let key = if verb.text() == "read" { Verb::Read } else { Verb::Modify };
                    let Quantity::BytesPerSecond(value) = self.quantity(
                        module,
                        &token,
                        "a rate in bytes such as 10MiB/s",
                        |q| matches!(q, Quantity::BytesPerSecond(n) if *n > 0),
                    )?
                    else {
                        return None;
                    };
                    if rates.insert(key, value).is_some() {
                        let message = format!("`{}` is limited twice", verb.text());
                        self.error(
                            module,
                            Code::Contradiction,
                            token_span(&verb),
                            message,
                            "each direction has one rate",
                            "remove one of the two",
                        );
                    }
                }
                (!rates.is_empty()).then_some(Amount::Io { rates })
            }
            "network" => {
                let inbound = limit.direction()?.text() == "in";
                let token = limit.amount()?;
                let rate = match self.quantity(module, &token, "a rate such as 100Mbit/s or 10MiB/s", |q| {
                    matches!(q, Quantity::BitsPerSecond(n) if *n > 0)
                        || matches!(q, Quantity::BytesPerSecond(n) if (1..=u64::MAX / 8).contains(n))
                })? {
                    Quantity::BytesPerSecond(n) => n * 8,
                    Quantity::BitsPerSecond(n) => n,
                    _ => return None,
                };
                Some(Amount::Network { inbound, rate })
            }
            "cpu" => match self.quantity(
                module,
                &limit.amount()?,
                "percent of one CPU such as 50%",
                |q| matches!(q, Quantity::Percent(n) if *n > 0),
            )? {
                Quantity::Percent(percent) => Some(Amount::Cpu { percent }),
                _ => None,
            },
            "memory" => match self.quantity(
                module,
                &limit.amount()?,
                "a size such as 512MiB",
                |q| matches!(q, Quantity::Bytes(n) if *n > 0),
            )? {
                Quantity::Bytes(bytes) => Some(Amount::Memory { bytes }),
                _ => None,
            },
            what => {
                let token = limit.amount()?;
                match token.text().parse::<u64>().ok().filter(|n| *n > 0) {
                    Some(max) if what == "pids" => Some(Amount::Pids { max }),
                    Some(max) => Some(Amount::Files { max }),
                    None => {
                        let why = "a limit is a number from 1";
                        self.error(
                            module,
                            Code::BadAmount,
                            token_span(&token),
                            format!("`{}` is not a limit", token.text()),
                            why,
                            "write the greatest number that is permitted",
                        );
                        None
                    }
                }
            }
        }
    }

    fn quantity(
        &mut self,
        module: usize,
        token: &SyntaxToken,
        wanted: &str,
        fits: impl Fn(&Quantity) -> bool,
    ) -> Option<Quantity> {
        let problem = match parse_quantity(token.text()) {
            Ok(quantity) if fits(&quantity) => return Some(quantity),
            Ok(_) => format!("`{}` does not fit here", token.text()),
            Err(error) => format!("`{}`: {error}", token.text()),
        };
        let mend =
            "units are %, B, KB, MB, GB, TB, KiB, MiB, GiB, TiB, the same with /s, bit/s, kbit/s, Mbit/s, Gbit/s";
        self.error(
            module,
            Code::BadAmount,
            token_span(token),
            problem,
            &format!("{wanted}, above zero, belongs here"),
            mend,
        );
        None
    }
}

/// Marks the days of `fri` or `fri-mon`; a range may pass over the end of the week.
fn mark(days: &mut [bool; 7], range: &[SyntaxToken]) {
    let index = |token: &SyntaxToken| DAYS.iter().position(|d| *d == token.text());
    let (Some(first), Some(last)) = (range.first().and_then(index), range.last().and_then(index)) else { return };
    let mut day = first;
    loop {
        days[day] = true;
        if day == last {
            return;
        }
        day = (day + 1) % 7;
    }
}
