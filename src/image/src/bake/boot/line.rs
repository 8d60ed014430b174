//! A command line that stands in a file, in one or several pieces: whether it disables Kiln, and where in the file the
//! parameter goes.

use super::cmdline::{Word, disabling, missing, place, words};
use crate::bake::BakeError;

/// What to insert, and at which byte.
pub(super) type Edits = Vec<(usize, String)>;

/// Lines with the offset of their first byte, without line ends.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line.trim_end_matches(['\n', '\r']))
    })
}

/// The words of a command line, if none of them would keep the image from enforcing.
pub(super) fn judged(file: &str, line: &str) -> Result<Vec<Word>, BakeError> {
    let bad = |what: String| BakeError::Content { path: file.to_owned(), what };
    let words =
        words(line).ok_or_else(|| bad(format!("a quote in its command line is not closed: {}", line.trim())))?;
    match disabling(line, &words) {
        Some(word) => Err(bad(format!(
            "its command line has `{word}`, with which the image would start without its policy; remove it"
        ))),
        None => Ok(words),
    }
}

/// One command line that stands in several pieces; the parameter goes into the last, or before `--`. None where there is
/// no piece.
pub(super) fn joined(
    file: &str,
    pieces: &[(usize, &str)],
    default: Option<&[String]>,
) -> Result<Option<Edits>, BakeError> {
    let mut all = Vec::new();
    for (_, piece) in pieces {
        all.extend(judged(file, piece)?);
    }
    // What systemd takes for a quote may be closed in another piece.
    let whole: Vec<&str> = pieces.iter().map(|(_, piece)| *piece).collect();
    judged(file, &whole.join(" "))?;
    let ends = |(_, piece): &&(usize, &str)| words(piece).is_some_and(|w| w.iter().any(|w| w.text == "--"));
    let Some((at, piece)) = pieces.iter().find(ends).or(pieces.last()) else { return Ok(None) };
    let Some(parameter) = missing(&all, default) else { return Ok(Some(Vec::new())) };
    let place = place(piece, &words(piece).unwrap_or_default());
    // What stood at the end of a line stays at its end, blanks included.
    let place = if piece[place..].bytes().all(|b| b.is_ascii_whitespace()) { piece.len() } else { place };
    // A line may begin with `--`.
    let blank = if piece[place..].starts_with(|c: char| !c.is_ascii_whitespace()) { " " } else { "" };
    Ok(Some(vec![(at + place, format!(" {parameter}{blank}"))]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_gets_stays_apart() {
        let list = ["yama".to_owned()];
        for (line, mended) in [
            ("--\r", " lsm=yama,bpf --\r"),
            ("-- single", " lsm=yama,bpf -- single"),
            ("quiet -- single", "quiet lsm=yama,bpf -- single"),
            ("quiet ", "quiet  lsm=yama,bpf"),
        ] {
            let edits = joined("f", &[(0, line)], Some(&list)).unwrap().unwrap();
            let mut text = line.to_owned();
            edits.into_iter().for_each(|(at, insert)| text.insert_str(at, &insert));
            assert_eq!(text, mended);
            assert_eq!(joined("f", &[(0, &text)], Some(&list)).unwrap(), Some(Vec::new()), "{line:?}");
        }
    }
}
