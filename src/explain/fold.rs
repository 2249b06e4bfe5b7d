//! Lines of an explanation, folded at the width of a terminal.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

/// Width of a terminal by default, in columns.
pub(super) const WIDTH: usize = 80;

/// Column at which texts begin.
const INDENT: usize = 11;

/// Appends a label and its text.
pub(super) fn line(label: &str, text: &str, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "  {label}{:pad$}", "", pad = INDENT - 2 - width(label));
    let mut column = INDENT;
    for piece in pieces(text) {
        if column > INDENT && column + width(piece) > WIDTH {
            let _ = write!(out, "\n{:INDENT$}", "");
            column = INDENT;
        }
        let piece = if column == INDENT { piece.trim_start() } else { piece };
        out.push_str(piece);
        column += width(piece);
    }
    out.push('\n');
}

/// Returns the number of columns that `text` takes: Japanese letters take two.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

/// Returns the number of columns that `c` takes.
pub(crate) fn width_of(c: char) -> usize {
    c.width().unwrap_or(0)
}

fn is_wide(c: char) -> bool {
    width_of(c) == 2
}

/// Cuts `text` where a line may end: before a space, and around each wide letter except where Japanese forbids it.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut previous = rest.chars().next()?;
        let end = rest.char_indices().skip(1).find(|&(_, c)| may_break(std::mem::replace(&mut previous, c), c));
        let (piece, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = after;
        Some(piece)
    })
}

/// Returns true if a line may end between two letters.
fn may_break(before: char, after: char) -> bool {
    let closes = |c| {
        matches!(
            c,
            '、' | '。' | '）' | '：' | 'ー' | '・' | 'ァ'
                ..='ォ' | 'ッ' | 'ャ' | 'ュ' | 'ョ' | 'っ' | 'ゃ' | 'ゅ' | 'ょ'
        )
    };
    match after {
        ' ' => before != ' ',
        _ => (is_wide(before) || is_wide(after)) && before != ' ' && before != '（' && !closes(after),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_end_where_japanese_allows() {
        let cut = |text| super::pieces(text).collect::<Vec<_>>();
        assert_eq!(cut("a b. c"), ["a", " b.", " c"]);
        assert_eq!(cut("送信（TLS）、後で。"), ["送", "信", "（TLS）、", "後", "で。"]);
        assert_eq!(cut("サーバー"), ["サー", "バー"]);
    }
}
