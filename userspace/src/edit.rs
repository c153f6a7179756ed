//! A good file with mistakes in it, for tests that read any.

use bolero::TypeGenerator;

/// A piece of the file is replaced by another piece of it and by something odd.
#[derive(Clone, Debug, TypeGenerator)]
pub struct Edit<Odd> {
    at: u16,
    length: u8,
    from: u16,
    copied: u8,
    /// What is odd.
    pub odd: Odd,
}

impl<Odd> Edit<Odd> {
    /// Does so; the pieces are shorter than `longest`. The file may not be empty.
    pub fn make<T: Clone>(&self, file: &mut Vec<T>, longest: u8, odd: impl IntoIterator<Item = T>) {
        let from = usize::from(self.from) % file.len();
        let copied = usize::from(self.copied % longest);
        let piece: Vec<T> = file.iter().skip(from).take(copied).cloned().chain(odd).collect();
        let at = usize::from(self.at) % file.len();
        let end = (at + usize::from(self.length % longest)).min(file.len());
        file.splice(at..end, piece);
    }
}
