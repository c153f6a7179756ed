//! Whatever the text: a model that holds together, or one line for each problem. `cargo xtask fuzz files` looks for longer.

use bolero::{TypeGenerator, generator::produce};

use super::*;
use crate::edit::Edit;

#[derive(Clone, Debug, TypeGenerator)]
enum Odd {
    Nothing,
    Character(char),
    Number(i64),
    Word(u8),
}

/// What has a meaning somewhere.
const WORDS: [&str; 16] =
    ["[", "]]", "[[", "{", "}", "\"", "=", ".", ",", "#", "\n", "0x", "::/0", "0.0.0.0/0", "-1", "\"\"\""];

#[test]
fn files() {
    let edits = produce::<Vec<Edit<Odd>>>().with().len(0..5usize);
    bolero::check!(name = "files").with_generator(edits).for_each(|edits| {
        let mut text: Vec<char> = BASE.chars().collect();
        for edit in edits {
            let odd = match edit.odd {
                Odd::Nothing => String::new(),
                Odd::Character(odd) => odd.into(),
                Odd::Number(number) => number.to_string(),
                Odd::Word(word) => WORDS[usize::from(word) % WORDS.len()].into(),
            };
            edit.make(&mut text, 40, odd.chars());
        }
        refused_or_right(&text.into_iter().collect::<String>());
    });
}

#[test]
fn any_text() {
    bolero::check!().with_type::<String>().for_each(|text| refused_or_right(text));
}

/// Either the model holds together, or there is one line for each problem, on a line of the text.
fn refused_or_right(text: &str) {
    match parse("f", text) {
        Ok(Configuration { host, objects, .. }) => {
            let model = flatten(&objects, None);
            assert_eq!(model.pools.len(), objects.pools.len());
            assert!(!host.interfaces.is_empty() && !host.local_addresses.ranges().is_empty());
            for (key, listener) in &model.listeners {
                assert!(model.vips.contains(&key.vip));
                let pool = listener.pool.map(|pool| &model.pools[&pool].http);
                assert_eq!(pool.is_some_and(Option::is_some), listener.http.is_some());
            }
            assert!(model.vips.iter().all(|vip| host.local_addresses.range_of(*vip).is_none()));
        }
        Err(errors) => {
            assert!(!errors.problems.is_empty());
            assert_eq!(errors.to_string().lines().count(), errors.problems.len());
            let lines = text.split('\n').count();
            assert!(errors.problems.iter().all(|p| (1..=lines).contains(&p.line.unwrap())));
        }
    }
}
