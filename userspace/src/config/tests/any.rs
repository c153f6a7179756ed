//! Whatever the text: a model that holds together, or one line for each problem.

use proptest::{prelude::*, sample::Index};

use super::*;

proptest! {
    #[test]
    fn any_text_is_read_or_refused_line_by_line(text in "\\PC{0,200}|([a-z\\[\\].=\"'0-9\n ]{0,200})") {
        refused_or_right(&text)?;
    }

    /// Near misses: a piece of the example is replaced by another piece of it or by something odd.
    #[test]
    fn any_change_of_a_right_file_is_read_or_refused(
        edits in proptest::collection::vec((any::<Index>(), 0..40usize, any::<Index>(), 0..40usize, "\\PC{0,3}|[0-9:./]{1,9}"), 1..4),
    ) {
        let mut text: Vec<char> = BASE.chars().collect();
        for (at, length, from, copied, odd) in edits {
            let from = from.index(text.len());
            let piece: Vec<char> = text.iter().skip(from).take(copied).copied().chain(odd.chars()).collect();
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, piece);
        }
        refused_or_right(&text.into_iter().collect::<String>())?;
    }
}

/// Either the model holds together, or there is one line for each problem, on a line of the text.
fn refused_or_right(text: &str) -> Result<(), TestCaseError> {
    match parse("f", text) {
        Ok(Configuration { host, objects, .. }) => {
            let model = flatten(&objects, None);
            prop_assert_eq!(model.pools.len(), objects.pools.len());
            prop_assert!(!host.interfaces.is_empty() && !host.local_addresses.ranges().is_empty());
            for (key, listener) in &model.listeners {
                prop_assert!(model.vips.contains(&key.vip));
                let pool = listener.pool.map(|pool| &model.pools[&pool].http);
                prop_assert_eq!(pool.is_some_and(Option::is_some), listener.http.is_some());
            }
            prop_assert!(model.vips.iter().all(|vip| host.local_addresses.range_of(*vip).is_none()));
        }
        Err(errors) => {
            prop_assert!(!errors.problems.is_empty());
            prop_assert_eq!(errors.to_string().lines().count(), errors.problems.len());
            let lines = text.split('\n').count();
            prop_assert!(errors.problems.iter().all(|p| (1..=lines).contains(&p.line.unwrap())));
        }
    }
    Ok(())
}
