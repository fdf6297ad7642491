//! Counts words: the library that `wordcount` depends on by path.
use std::collections::BTreeMap;

/// Each word of `text` in lower case with how often it occurs, the most frequent first, equals in their order.
pub fn count(text: &str) -> Vec<(String, usize)> {
    let mut times = BTreeMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *times.entry(word.to_lowercase()).or_insert(0) += 1;
    }
    let mut counted: Vec<_> = times.into_iter().collect();
    counted.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    counted
}
