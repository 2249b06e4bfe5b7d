//! Shapes of lines: how a line begins, and what it holds further on.

use memchr::memmem;

/// Beginning of a line, and words that the line holds; no words if the beginning alone decides.
pub(super) type Shape = (&'static str, &'static str);

/// True if a text has a shape.
pub(super) fn fits((begin, words): Shape, text: &str) -> bool {
    text.starts_with(begin) && (words.is_empty() || memmem::find(text.as_bytes(), words.as_bytes()).is_some())
}

/// Table of shapes, with what each shape means, made at compile time.
///
/// If a text has several shapes, the longest beginning decides, and between equal beginnings the longest words. The
/// order in which shapes are declared has no meaning.
pub(super) struct Shapes<T, const N: usize> {
    /// Start of the shapes of each first byte in `shapes`; the shapes of the next byte follow.
    starts: [u16; 257],
    /// Shapes by their first byte, then by precedence.
    shapes: [(Shape, T); N],
}

impl<T: Copy, const N: usize> Shapes<T, N> {
    /// Makes a table. No beginning is empty.
    pub(super) const fn new(mut shapes: [(Shape, T); N]) -> Self {
        let mut starts = [0; 257];
        let mut sorted = 0;
        while sorted < N {
            starts[first_byte(shapes[sorted].0) + 1] += 1;
            // The sorts of the standard library do not run at compile time.
            let mut at = sorted;
            while at > 0 && goes_before(shapes[at].0, shapes[at - 1].0) {
                shapes.swap(at, at - 1);
                at -= 1;
            }
            sorted += 1;
        }
        let mut byte = 0;
        while byte < 256 {
            starts[byte + 1] += starts[byte];
            byte += 1;
        }
        Self { starts, shapes }
    }

    /// Returns what the shape of a text means. A text is compared only with the shapes that share its first byte.
    pub(super) fn find(&self, text: &str) -> Option<T> {
        let byte = usize::from(*text.as_bytes().first()?);
        let [start, end] = [byte, byte + 1].map(|byte| usize::from(self.starts[byte]));
        let fitting = self.shapes[start..end].iter().find(|(shape, _)| fits(*shape, text));
        fitting.map(|(_, meaning)| *meaning)
    }
}

const fn first_byte((begin, _): Shape) -> usize {
    begin.as_bytes()[0] as usize
}

/// True if a shape stands before another in a table.
const fn goes_before(shape: Shape, other: Shape) -> bool {
    let (byte, other_byte) = (first_byte(shape), first_byte(other));
    let (length, other_length) = (shape.0.len(), other.0.len());
    byte < other_byte
        || byte == other_byte && (length > other_length || length == other_length && shape.1.len() > other.1.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_shape_decides_in_any_order() {
        let rows = [
            (("connect", ""), 1),
            (("connect from ", ""), 2),
            (("connect from ", "]"), 3),
            (("connect from ", " to ["), 4),
            (("disconnect ", " x"), 5),
        ];
        let vectors = [
            ("connect", Some(1)),
            ("connect to x]", Some(1)),
            ("connect from x", Some(2)),
            ("connect from x]", Some(3)),
            ("connect from [x] to [y]", Some(4)),
            ("disconnect a x", Some(5)),
            ("disconnect a", None),
            ("conn", None),
            ("é", None),
            ("", None),
        ];
        let mut reversed = rows;
        reversed.reverse();
        for rows in [rows, reversed] {
            let shapes = Shapes::new(rows);
            for (text, expected) in vectors {
                assert_eq!(shapes.find(text), expected, "{text}");
            }
        }
    }
}
