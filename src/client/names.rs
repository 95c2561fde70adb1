//! What a person may have meant.

/// More than this many names are not listed.
const FEW: usize = 12;

/// `; did you mean X?`, or what there is, or nothing.
pub(super) fn suggest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let given = given.to_lowercase();
    let near =
        known.iter().map(|name| (distance(&given, &name.to_lowercase()), *name)).min().filter(
            |(distance, name)| *distance <= name.chars().count().max(given.chars().count()).div_ceil(3),
        );
    match near {
        Some((_, name)) => format!("; did you mean {name}?"),
        None if known.is_empty() => "; there is none at all".into(),
        None if known.len() <= FEW => format!("; there is {}", known.join(", ")),
        None => String::new(),
    }
}

/// Insertions, deletions and replacements that make `left` into `right`.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, from) in left.chars().enumerate() {
        let mut diagonal = at;
        let mut previous = at + 1;
        let mut next = vec![previous];
        for (to, above) in right.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(from != *to);
            previous = replaced.min(previous + 1).min(above + 1);
            diagonal = *above;
            next.push(previous);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (left, right, edits) in [
            ("", "", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("display_1", "display_2", 1),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!((distance(left, right), distance(right, left)), (edits, edits), "{left} {right}");
        }
    }

    #[test]
    fn suggests_what_is_near_and_lists_what_there_is() {
        let known = ["Boardroom", "Lobby"];
        assert_eq!(suggest("bordroom", known), "; did you mean Boardroom?");
        assert_eq!(suggest("kitchen sink", known), "; there is Boardroom, Lobby");
        assert_eq!(suggest("x", []), "; there is none at all");
    }
}
