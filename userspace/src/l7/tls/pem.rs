//! PEM text taken apart into its blocks. What they hold is for `certificate` and `key`.

use anyhow::{Result, bail};

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
pub(super) fn blocks(file: &[u8]) -> Result<Vec<Block<'_>>> {
    let Ok(text) = str::from_utf8(file) else {
        bail!(
            "binary, so DER or PKCS#12 and not PEM; `openssl x509 -inform der` or `openssl pkcs12 -nodes` turn \
             these into PEM"
        );
    };
    if text.trim().is_empty() {
        bail!("empty; a PEM file belongs here, which begins with -----BEGIN");
    }
    let mut blocks = Vec::new();
    let mut open: Option<(&str, usize, usize)> = None;
    let mut offset = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let end = offset + line.len();
        if let Some(label) = marker(line, "-----BEGIN ") {
            if let Some((label, line, _)) = open {
                bail!("the {label} that begins on line {line} has no END line; copy the file again");
            }
            open = Some((label, number, offset));
        } else if let Some(ended) = marker(line, "-----END ") {
            match open.take() {
                Some((label, line, begin)) if label == ended => {
                    blocks.push(Block { label, line, text: &text[begin..end] });
                }
                _ => bail!("the END line {number} has no BEGIN line; copy the file again"),
            }
        }
        offset = end;
    }
    if let Some((label, line, _)) = open {
        bail!("the {label} that begins on line {line} has no END line; copy the file again");
    }
    if blocks.is_empty() {
        bail!("not PEM; a line -----BEGIN … belongs there");
    }
    Ok(blocks)
}

/// What a BEGIN or END line is about. Control characters would spoil the errors in which it is shown.
fn marker<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    let label = line.trim_end().strip_prefix(start)?.strip_suffix("-----")?;
    (label.len() <= 64 && !label.contains(char::is_control)).then_some(label)
}
