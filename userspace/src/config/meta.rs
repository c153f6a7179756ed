//! What every object may say of itself: `description` and `tags`.

use model::{
    object::Meta,
    value::{Description, Name, Tag},
};

use super::{document::Table, scalar};

/// What a table says of its object, which has this name.
pub(super) fn read(table: &Table<'_>, name: Name) -> Meta {
    let description = table.get("description").and_then(|value| scalar::text(value, Description::new));
    let pairs =
        table.get("tags").map(|value| value.pairs("a table of strings, such as { stage = \"test\" }"));
    let tags = pairs.into_iter().flatten();
    let tags = tags.filter_map(|(key, value)| scalar::text(value, |text| Tag::new(key, text)));
    Meta { description: description.unwrap_or_default(), tags: tags.collect(), ..Meta::of_file(name) }
}
