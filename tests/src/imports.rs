//! Which files of a crate import which, read from their text: for tests that hold a crate to its layers.
//!
//! A file imports another if it names something there by a path from `crate`, `self` or `super`, or from a module of its own,
//! in a `use` or elsewhere. What is compiled for tests only is passed over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    slice,
};

use anyhow::{Context, Result, bail};

/// The files of a crate with those that each imports. A file is named by its path below the folder of the crate's root.
#[derive(Clone, Debug, Default)]
pub struct Imports(BTreeMap<String, BTreeSet<String>>);

impl Imports {
    /// Of the crate with this root (`…/src/lib.rs`), with all modules that it declares.
    ///
    /// # Errors
    /// A file cannot be read, or a module is declared that has none.
    pub fn of_crate(root: &Path) -> Result<Self> {
        let folder = root.parent().context("a crate's root is in a folder")?;
        let name = root.file_name().and_then(|name| name.to_str()).context("a crate's root has a name")?;
        // Module → its file and what that says.
        let mut modules: BTreeMap<Vec<String>, (String, Source)> = BTreeMap::new();
        let mut open = vec![(Vec::new(), name.to_owned())];
        while let Some((module, file)) = open.pop() {
            let text = fs::read_to_string(folder.join(&file)).with_context(|| file.clone())?;
            let source = Source::of(&text);
            for child in &source.modules {
                open.push(([&module[..], slice::from_ref(child)].concat(), file_of(folder, &file, child)?));
            }
            modules.insert(module, (file, source));
        }
        let mut imports = Self::default();
        for (module, (file, source)) in &modules {
            let targets = source.paths.iter().filter_map(|path| {
                let path = absolute(module, path, |child| source.modules.contains(child))?;
                // The deepest module on the way: what follows is an item there, or a module inside of the file.
                (0..=path.len()).rev().find_map(|len| modules.get(&path[..len])).map(|(file, _)| file.clone())
            });
            let targets = targets.filter(|target| target != file).collect();
            imports.0.insert(file.clone(), targets);
        }
        Ok(imports)
    }

    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What `file` imports, and what that imports, and so on.
    pub fn reached_from(&self, file: &str) -> BTreeSet<&str> {
        let imported = |file: &str| self.0.get(file).into_iter().flatten().map(String::as_str);
        let (mut reached, mut open) = (BTreeSet::new(), imported(file).collect::<Vec<_>>());
        while let Some(file) = open.pop() {
            if reached.insert(file) {
                open.extend(imported(file));
            }
        }
        reached
    }

    /// Files that import each other in a circle; each such group once, with the imports between them as `a → b`.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<&str, _> = self.files().map(|file| (file, self.reached_from(file))).collect();
        let mut groups: BTreeSet<BTreeSet<&str>> = BTreeSet::new();
        for (file, reaches) in &reached {
            let group: BTreeSet<_> =
                reaches.iter().copied().filter(|other| reached[other].contains(file)).collect();
            groups.insert(group);
        }
        let arrows = |group: BTreeSet<&str>| {
            let of = |file: &str| {
                let inside = self.0[file].iter().filter(|target| group.contains(target.as_str()));
                inside.map(|target| format!("{file} → {target}")).collect::<Vec<_>>()
            };
            group.iter().flat_map(|file| of(file)).collect()
        };
        groups.into_iter().filter(|group| !group.is_empty()).map(arrows).collect()
    }
}

/// The file of the module `child` that `file` declares.
fn file_of(folder: &Path, file: &str, child: &str) -> Result<String> {
    let (above, name) = file.rsplit_once('/').map_or(("", file), |(above, name)| (above, name));
    let own = match name {
        "lib.rs" | "main.rs" | "mod.rs" => above.to_owned(),
        _ => file.trim_end_matches(".rs").to_owned(),
    };
    for at in [format!("{own}/{child}.rs"), format!("{own}/{child}/mod.rs")] {
        let at = at.trim_start_matches('/');
        if folder.join(at).exists() {
            return Ok(at.to_owned());
        }
    }
    bail!("{file} declares the module {child}, which has no file")
}

/// A path as from the crate's root, said in `module`; `None` if it leads out of the crate.
fn absolute(module: &[String], path: &[String], is_child: impl Fn(&String) -> bool) -> Option<Vec<String>> {
    let mut rest = path;
    let mut at = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        _ if is_child(&path[0]) => return Some([module, path].concat()),
        _ => return None,
    };
    while let Some((first, behind)) = rest.split_first().filter(|(first, _)| is_from(first)) {
        if first == "super" {
            at.pop()?;
        }
        rest = behind;
    }
    at.extend_from_slice(rest);
    Some(at)
}

/// Whether a path can begin with this word to stay in its crate.
fn is_from(word: &str) -> bool {
    matches!(word, "crate" | "self" | "super")
}

/// What a file declares and names.
#[derive(Debug, Default)]
struct Source {
    /// Modules with files of their own.
    modules: BTreeSet<String>,
    /// Paths, as they stand there; those in an inline module as from the file's own.
    paths: BTreeSet<Vec<String>>,
}

impl Source {
    fn of(text: &str) -> Self {
        let mut source = Self::default();
        source.read(&tokens(text), 0);
        source
    }

    /// Reads up to the end of a block, `depth` inline modules deep; returns how many tokens those are.
    fn read(&mut self, tokens: &[String], depth: usize) -> usize {
        let (mut at, mut braces) = (0, 0);
        while let Some(token) = tokens.get(at) {
            let next = |n: usize| tokens.get(at + n).map_or("", String::as_str);
            let begins_path = is_word(token) && next(1) == "::" && (at == 0 || tokens[at - 1] != "::");
            match token.as_str() {
                "cfg" if next(1) == "(" && next(2) == "test" && next(3) == ")" => at += item(&tokens[at..]),
                "mod" if next(2) == ";" => {
                    self.modules.insert(next(1).to_owned());
                }
                "mod" if next(2) == "{" => at += 3 + self.read(&tokens[at + 3..], depth + 1),
                "use" => at += self.tree(&tokens[at + 1..], &[], depth),
                "{" => braces += 1,
                "}" if braces == 0 => return at,
                "}" => braces -= 1,
                _ if begins_path => at += self.tree(&tokens[at..], &[], depth) - 1,
                _ => {}
            }
            at += 1;
        }
        at
    }

    /// Reads what a `use` names, or any path; returns how many tokens those are.
    fn tree(&mut self, tokens: &[String], before: &[String], depth: usize) -> usize {
        let (mut path, mut at) = (before.to_vec(), 0);
        loop {
            match tokens.get(at).map_or("", String::as_str) {
                "::" => at += 1,
                "{" if at == 0 || tokens[at - 1] == "::" => {
                    at += 1;
                    while let Some(token) = tokens.get(at).filter(|token| *token != "}") {
                        at += match token.as_str() {
                            "as" => 2,
                            "," | "*" => 1,
                            _ => self.tree(&tokens[at..], &path, depth).max(1),
                        };
                    }
                    return at + 1;
                }
                word if is_word(word) && (at == 0 || tokens[at - 1] == "::") => {
                    path.push(word.to_owned());
                    at += 1;
                }
                _ => break,
            }
        }
        // An inline module's first `super`s lead to the file's own module.
        let inside = path.iter().take(depth).take_while(|word| *word == "super").count();
        if inside > 0 {
            path.splice(..inside, ["self".to_owned()]);
        }
        self.paths.insert(path);
        at
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// How many tokens the item has that begins in front of these, or follows an attribute there.
fn item(tokens: &[String]) -> usize {
    let mut braces = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => braces += 1,
            "}" if braces == 1 => return at,
            "}" => braces -= 1,
            ";" if braces == 0 => return at,
            _ => {}
        }
    }
    tokens.len()
}

/// Words, `::` and single characters, without comments and literals.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(len) = literal(rest) {
            len
        } else {
            let len = if word > 0 {
                word
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                tokens.push(rest[..len].to_owned());
            }
            len
        };
        rest = &rest[len..];
    }
    tokens
}

/// The length of the string or character that begins here, if one does; a lifetime is none.
fn literal(text: &str) -> Option<usize> {
    let raw = text.trim_start_matches('b').strip_prefix('r').map(|rest| rest.trim_start_matches('#'));
    if let Some(inside) = raw.and_then(|rest| rest.strip_prefix('"')) {
        let before = text.len() - inside.len();
        let hashes = text[..before].matches('#').count();
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(inside.find(&end).map_or(text.len(), |at| before + at + end.len()));
    }
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut inside = text.char_indices().skip(1);
    while let Some((at, c)) = inside.next() {
        match c {
            '\\' => _ = inside.next(),
            c if c == quote => return Some(at + 1),
            // A character is one character long.
            _ if quote == '\'' && !text[at + c.len_utf8()..].starts_with('\'') => return None,
            _ => {}
        }
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let source = Source::of(
            r##"
            //! [`crate::comment`]
            mod child; /* use crate::block; */
            use crate::{a::{self, B as C}, d, e::*};
            use super::f::G;
            pub use self::child::H;
            use std::vec;
            const TEXT: (&str, &str, char) = ("use crate::string;", r#"" use crate::raw; "#, '{');
            fn i<'a>(x: &'a child::J) -> crate::k::L { super::super::m(x); $crate::n::o!() }
            mod inline { use super::*; use super::{p, super::q}; use crate::r; }
            #[cfg(test)]
            use crate::for_tests;
            #[cfg(test)]
            mod tests { use crate::also_for_tests; fn brace() {} }
            #[cfg(test)]
            mod fixture;
            #[cfg(feature = "user")]
            mod pod;
            use crate::last;
            "##,
        );
        let paths: Vec<_> = source.paths.iter().map(|path| path.join("::")).collect();
        let expected = [
            "child::J",
            "crate::a::B",
            "crate::a::self",
            "crate::d",
            "crate::e",
            "crate::k::L",
            "crate::last",
            "crate::n::o",
            "crate::r",
            "self",
            "self::child::H",
            "self::p",
            "self::super::q",
            "std::vec",
            "super::f::G",
            "super::super::m",
        ];
        assert_eq!(paths, expected);
        assert_eq!(source.modules.into_iter().collect::<Vec<_>>(), ["child", "pod"]);
    }

    #[test]
    fn circles_are_found_with_what_makes_them() {
        let file = |name: &str, targets: &[&str]| {
            (name.to_owned(), targets.iter().map(|target| (*target).to_owned()).collect())
        };
        let imports = Imports(BTreeMap::from([
            file("a", &["b"]),
            file("b", &["c"]),
            file("c", &["b", "d"]),
            file("d", &[]),
            file("e", &["a"]),
        ]));
        assert_eq!(imports.circles(), [["b → c", "c → b"]]);
        assert_eq!(imports.reached_from("a"), BTreeSet::from(["b", "c", "d"]));
        assert!(imports.reached_from("d").is_empty());
    }
}
