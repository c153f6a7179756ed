//! README and `docs/`, for the tests that hold them to what the code does: their fenced blocks and their tables.
//!
//! A block says in its first line what it is: ```` ```toml ```` is a whole configuration file, ```` ```toml fragment ````
//! a part of one, ```` ```toml recipe ```` a change of the file before it ([`change`]), ```` ```toml refused ```` one that is
//! wrong; ```` ```sh ```` is for any host, ```` ```sh client ```` and ```` ```sh balancer ```` are run in
//! the testbed, and their comments say what the commands above them print.

use std::{
    fmt::Display,
    fs, iter,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// A document.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its path below the repository's root.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of its fence, from 1.
    pub line: usize,
    /// What it is: the words behind the fence.
    pub kind: String,
    /// What is between the fences.
    pub text: String,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The heading above the table, without its hashes.
    pub heading: String,
    /// Its cells; a `\|` in them is a `|`.
    pub cells: Vec<String>,
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// README and everything in `docs/`, by name.
///
/// # Errors
/// They cannot be read.
pub fn all() -> Result<Vec<Document>> {
    let mut paths = vec![PathBuf::from("README.md")];
    for entry in fs::read_dir(root().join("docs")).context("no docs")? {
        paths.push(Path::new("docs").join(entry?.file_name()));
    }
    paths.sort();
    paths.into_iter().map(|path| read(&path)).collect()
}

/// One document, by its path below the repository's root.
///
/// # Errors
/// It cannot be read.
pub fn read(path: impl AsRef<Path>) -> Result<Document> {
    let path = path.as_ref();
    let text =
        fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Document { path: path.into(), text })
}

/// Every command of a program in ```` ```sh ```` blocks: where it stands, and its words behind the program's name, which
/// may be two words. What stands in front of it on its line (`sudo`, a path) is left out.
///
/// # Errors
/// The documents cannot be read.
fn commands(program: &str) -> Result<Vec<(String, Vec<String>)>> {
    let mut found = Vec::new();
    for document in all()? {
        for block in document.blocks().into_iter().filter(|block| block.is("sh")) {
            for line in block.text.replace("\\\n", " ").lines() {
                let place = format!("{}:{}: {line}", document.path.display(), block.line);
                found.extend(arguments(line, program).map(|words| (place, words)));
            }
        }
    }
    Ok(found)
}

/// The commands of a program in the documents that `parse` refuses, with where they stand and why. It is given the
/// program's name and the words behind it.
///
/// # Errors
/// The documents cannot be read, or have no command of it.
pub fn refused<T, E: Display>(
    program: &str,
    parse: impl Fn(Vec<String>) -> Result<T, E>,
) -> Result<Vec<String>> {
    let commands = commands(program)?;
    ensure!(!commands.is_empty(), "no document calls {program}");
    let whole = |behind| iter::once(program.to_owned()).chain(behind).collect();
    let refused = commands.into_iter().filter_map(|(place, behind)| {
        let error = parse(whole(behind)).err()?;
        Some(format!("{place}: {error}"))
    });
    Ok(refused.collect())
}

/// A configuration changed by a recipe. Where that begins with `# below LINE:`, what follows up to the first empty line goes
/// below this line of the file; the rest goes to its end. Without that, the recipe takes the place of everything but the
/// first table, `[host]`.
///
/// # Errors
/// The file has no such line.
pub fn change(file: &str, recipe: &str) -> Result<String> {
    let Some((line, rest)) = recipe.strip_prefix("# below ").and_then(|rest| rest.split_once(":\n")) else {
        let host = file.find("\n[[").map_or(file, |end| &file[..end]);
        return Ok(format!("{host}\n{recipe}"));
    };
    let (here, end) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let (before, after) =
        file.split_once(&format!("\n{line}\n")).with_context(|| format!("no line {line:?}"))?;
    Ok(format!("{before}\n{line}\n{here}\n{after}\n{end}"))
}

/// The words behind `program` in a line of shell, up to a comment or an operator, if the line runs that.
fn arguments(line: &str, program: &str) -> Option<Vec<String>> {
    let is_before = |word: &&str| ["sudo", "nsenter"].contains(word) || word.starts_with("--net=");
    let words: Vec<&str> = line.split_whitespace().skip_while(is_before).collect();
    let names: Vec<&str> = program.split(' ').collect();
    let (there, behind) = words.split_at_checked(names.len())?;
    let is_name = |there: &str, name: &str| there == name || there.ends_with(&format!("/{name}"));
    if !iter::zip(there, &names).all(|(there, name)| is_name(there, name)) {
        return None;
    }
    let ends = |word: &&&str| !word.starts_with('#') && !["|", "&", "&&", ";"].contains(*word);
    Some(behind.iter().take_while(ends).map(|word| word.trim_matches(['"', '\'']).to_owned()).collect())
}

impl Block {
    /// Whether it is of this kind, which may be the first of its words only.
    pub fn is(&self, kind: &str) -> bool {
        self.kind == kind || self.kind.strip_prefix(kind).is_some_and(|rest| rest.starts_with(' '))
    }
}

impl Document {
    /// Its fenced blocks in their order.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (line, text) in (1..).zip(self.text.lines()) {
            match (&mut open, text.strip_prefix("```")) {
                (None, Some(kind)) => open = Some(Block { line, kind: kind.into(), text: String::new() }),
                (Some(_), Some("")) => blocks.extend(open.take()),
                (Some(block), _) => block.text.extend([text, "\n"]),
                (None, None) => {}
            }
        }
        blocks
    }

    /// The rows of its tables, without their headers.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let (mut heading, mut fenced, mut in_table) = (String::new(), false, false);
        for line in self.text.lines() {
            fenced ^= line.starts_with("```");
            if fenced {
                continue;
            }
            if line.starts_with('#') {
                line.trim_start_matches('#').trim().clone_into(&mut heading);
            }
            let Some(row) = line.strip_prefix('|') else {
                in_table = false;
                continue;
            };
            let cells: Vec<String> = row
                .trim_end()
                .trim_end_matches('|')
                .replace("\\|", "\u{1}")
                .split('|')
                .map(|cell| cell.trim().replace('\u{1}', "|"))
                .collect();
            let is_rule =
                cells.iter().all(|cell| !cell.is_empty() && cell.trim_matches([':', '-']).is_empty());
            if in_table && !is_rule {
                rows.push(Row { heading: heading.clone(), cells });
            }
            // The first row of a table is its header.
            in_table = true;
        }
        rows
    }

    /// What a link's part behind the `#` may be here: its headings as GitHub names them.
    pub fn anchors(&self) -> Vec<String> {
        let mut fenced = false;
        let headings = self.text.lines().filter(|line| {
            fenced ^= line.starts_with("```");
            !fenced && line.starts_with('#')
        });
        let anchor = |line: &str| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(anchor).collect()
    }

    /// Where its links lead that stay in the repository.
    pub fn links(&self) -> Vec<&str> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A b\n\n```sh client\nsudo target/evenkeel run \\\n  -c 'x' # y\n```\n\n\
                        ## `c_d`: e\n| k | v |\n|---|--:|\n| `a` | 1\\|2 |\n\n[x](docs/y.md#a-b) [z](https://z)\n";

    fn document() -> Document {
        Document { path: "x.md".into(), text: TEXT.into() }
    }

    #[test]
    fn blocks_rows_and_links_are_found() {
        let [block] = document().blocks().try_into().unwrap();
        assert_eq!(
            (block.line, block.is("sh"), block.is("sh client"), block.is("s")),
            (3, true, true, false)
        );
        let cells = vec!["`a`".to_owned(), "1|2".to_owned()];
        assert_eq!(document().rows(), [Row { heading: "`c_d`: e".into(), cells }]);
        assert_eq!(document().links(), ["docs/y.md#a-b"]);
        assert_eq!(document().anchors(), ["a-b", "c_d-e"]);
    }

    #[test]
    fn commands_are_what_stands_behind_the_program() {
        let words = |line, program| arguments(line, program).map(|words| words.join(" "));
        assert_eq!(words("sudo target/evenkeel run -c 'x' # y", "evenkeel").as_deref(), Some("run -c x"));
        assert_eq!(words("cargo xtask run | cat", "cargo xtask").as_deref(), Some("run"));
        assert_eq!(words("evenkeel-toa status", "evenkeel"), None);
        assert_eq!(
            words("nsenter --net=/run/netns/a evenkeel status", "evenkeel").as_deref(),
            Some("status")
        );
        assert_eq!(words("pkill -HUP -x evenkeel", "evenkeel"), None);
        assert_eq!(words("cargo build", "cargo xtask"), None);
    }

    #[test]
    fn every_link_leads_somewhere() {
        for document in all().unwrap() {
            for link in document.links() {
                let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
                let folder = document.path.parent().unwrap();
                let target = if file.is_empty() { document.path.clone() } else { folder.join(file) };
                assert!(root().join(&target).exists(), "{}: {link}", document.path.display());
                if !anchor.is_empty() {
                    let there = read(&target).unwrap().anchors();
                    assert!(there.iter().any(|a| a == anchor), "{}: {link}", document.path.display());
                }
            }
        }
    }

    /// Every shell line is one that a shell can read.
    #[test]
    fn shell_blocks_are_shell() {
        for document in all().unwrap() {
            for block in document.blocks().iter().filter(|block| block.is("sh")) {
                let checked = std::process::Command::new("sh").args(["-nc", &block.text]).output().unwrap();
                let said = String::from_utf8_lossy(&checked.stderr).into_owned();
                assert!(checked.status.success(), "{}:{}: {said}", document.path.display(), block.line);
            }
        }
    }

    #[test]
    fn the_readme_is_short() {
        assert!(read("README.md").unwrap().text.lines().count() <= 150);
    }
}
