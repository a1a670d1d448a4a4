//! The diagrams of `docs/operations/diagrams/`, written by hand.

use std::{fs, path::Path};

const FOLDER: &str = "docs/operations/diagrams";
/// Larger is no diagram that is written by hand.
const LARGEST_BYTES: usize = 12 * 1024;

/// Looks at each diagram; gives a line about them.
pub fn check(root: &Path) -> Result<String, String> {
    let folder = root.join(FOLDER);
    let told = |error: std::io::Error| format!("{FOLDER}: {error}");
    let pages = super::pages_text(root)?;
    let (mut count, mut problems) = (0, Vec::new());
    for entry in fs::read_dir(&folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).map_err(told)?;
        count += 1;
        problems.extend(wrong(&text).into_iter().map(|what| format!("{name}: {what}")));
        if !pages.contains(&format!("(diagrams/{name})")) {
            problems.push(format!("{name}: no page shows it"));
        }
    }
    if count == 0 {
        problems.push("there is none".to_owned());
    }
    if problems.is_empty() {
        return Ok(format!("{count} diagrams for light and dark, each with its text"));
    }
    Err(format!("{FOLDER}:\n  {}", problems.join("\n  ")))
}

/// What a diagram lacks.
fn wrong(text: &str) -> Vec<String> {
    let needed = [
        ("viewBox=", "it has no viewBox, and cannot be made larger"),
        ("prefers-color-scheme: dark", "it has no colours for the dark"),
        ("<title", "it has no title"),
        ("<desc", "it has no description for who cannot see it"),
        ("role=\"img\"", "it is no picture to a screen reader"),
    ];
    let mut wrong: Vec<String> =
        needed.iter().filter(|(part, _)| !text.contains(part)).map(|(_, what)| (*what).to_owned()).collect();
    if text.len() > LARGEST_BYTES {
        wrong.push(format!("{} bytes", text.len()));
    }
    let foreign = text.match_indices("http").filter(|(at, _)| !text[*at..].starts_with("http://www.w3.org/"));
    if foreign.count() > 0 || text.contains("<script") || text.contains("<image") {
        wrong.push("it needs something from elsewhere".to_owned());
    }
    if let Some(tag) = unbalanced(text) {
        wrong.push(format!("<{tag}> is not closed where it should be"));
    }
    wrong
}

/// The first element that is not closed in its turn. Enough of XML for what is written here: no comments, no `>` in an attribute.
fn unbalanced(text: &str) -> Option<String> {
    let mut open: Vec<String> = Vec::new();
    for part in text.split('<').skip(1) {
        let (tag, _) = part.split_once('>')?;
        let name: String = tag.trim_start_matches('/').chars().take_while(|c| c.is_alphanumeric()).collect();
        if tag.starts_with('/') {
            if open.pop().as_deref() != Some(name.as_str()) {
                return Some(name);
            }
        } else if !tag.ends_with('/') && !tag.starts_with('?') {
            open.push(name);
        }
    }
    open.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1 1\" role=\"img\"><title>t</title><desc>d</desc><style>@media (prefers-color-scheme: dark) { a {} }</style><rect/></svg>";

    #[test]
    fn a_diagram_that_lacks_something_is_told() {
        assert!(wrong(GOOD).is_empty(), "{:?}", wrong(GOOD));
        for (from, to) in [
            ("viewBox", "box"),
            ("prefers-color-scheme: dark", "print"),
            ("<title>t</title>", ""),
            ("<desc>d</desc>", ""),
            ("<rect/>", "<image/>"),
            ("<rect/>", "<rect>"),
            ("</desc>", "</title>"),
            ("<rect/>", "<a href=\"http://example.org\"/>"),
        ] {
            assert_eq!(wrong(&GOOD.replace(from, to)).len(), 1, "{from} {to}");
        }
        assert!(check(&crate::workspace_root()).is_ok());
    }
}
