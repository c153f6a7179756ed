//! PEM text taken apart into its blocks. What they hold is for `certificate` and `key`.

use super::error::PkiError;

/// One block, from its BEGIN line to its END line.
pub(super) struct Block<'a> {
    /// What stands between `-----BEGIN ` and `-----`.
    pub(super) label: &'a str,
    /// The line of its BEGIN, from 1.
    pub(super) line: usize,
    /// The block with both lines.
    pub(super) text: &'a str,
}

/// The blocks of a file. Text around them is left out.
///
/// # Errors
/// The file is empty or binary, has no block, or one that does not end.
pub(super) fn blocks(file: &[u8]) -> Result<Vec<Block<'_>>, PkiError> {
    let text = str::from_utf8(file).map_err(|_| PkiError::Binary)?;
    if text.trim().is_empty() {
        return Err(PkiError::Empty);
    }
    let mut blocks = Vec::new();
    let mut open: Option<(&str, usize, usize)> = None;
    let mut offset = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let end = offset + line.len();
        if let Some(label) = marker(line, "-----BEGIN ") {
            if let Some((label, line, _)) = open {
                return Err(PkiError::NoEnd { label: label.into(), line });
            }
            open = Some((label, number, offset));
        } else if let Some(ended) = marker(line, "-----END ") {
            match open.take() {
                Some((label, line, begin)) if label == ended => {
                    blocks.push(Block { label, line, text: &text[begin..end] });
                }
                _ => return Err(PkiError::NoBegin { line: number }),
            }
        }
        offset = end;
    }
    if let Some((label, line, _)) = open {
        return Err(PkiError::NoEnd { label: label.into(), line });
    }
    if blocks.is_empty() {
        return Err(PkiError::NotPem);
    }
    Ok(blocks)
}

/// What a BEGIN or END line is about. Control characters would spoil the errors in which it is shown.
fn marker<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    let label = line.trim_end().strip_prefix(start)?.strip_suffix("-----")?;
    (label.len() <= 64 && !label.contains(char::is_control)).then_some(label)
}
